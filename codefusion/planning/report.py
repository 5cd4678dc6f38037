"""A plan as text: tables of Markdown, which read well on a terminal too."""

from codefusion.markdown import table
from codefusion.planning import rooflines

_LEFT_OUT = (
    "Ours counts products with weights, attention, alignment and pointer; not softmax, "
    "norms, dropout, lookups, AdamW or the average. The compiler's counts those too, "
    "but a loop's body once, and a Pallas kernel as nothing."
)
_NOTHING_HELPS = (
    "No change of layout, remat or microbatches fits: take more devices, a smaller "
    "batch or a smaller model."
)


def render(plan):
    """Returns the text of a `plan.Plan`."""
    sections = [
        _header(plan),
        _verdict(plan),
        _memory(plan),
        _parameters(plan),
        *_program(plan, "Training step", plan.step),
        *_program(plan, "Sampler", plan.sampler),
        _assumptions(plan),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def render_sweep(entries):
    """Returns the text of a sweep, the best layout first.

    Args:
      entries: list of `sweep.Entry`.
    """
    rows = []
    for entry in entries:
        mesh = " x ".join(str(size) for size in entry.mesh.values())
        if entry.step is None or not entry.fits:
            need = size_text(entry.needed) if entry.needed else "more than there is"
            rows.append((mesh, "no", need, "", "", "", entry.reason))
            continue
        time = entry.step.roofline
        rows.append(
            (
                mesh,
                "yes",
                size_text(entry.step.peak),
                _time(time.serial),
                _time(time.overlapped),
                time.bound,
                _share(entry, time.serial),
            )
        )
    head = ("data x fsdp x tensor", "fits", "peak", "step", "all hidden", "bound")
    return table((*head, "model FLOPs of peak, %"), rows) + "\n"


def size_text(number):
    """Returns bytes as text, in the unit that leaves 1 to 1024 of it."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:,.2f} GiB"


def count_text(number):
    """Returns a count as text, with k, M, G, T, P or E."""
    for unit in ("", " k", " M", " G", " T", " P"):
        if abs(number) < 1000:
            return f"{number:.4g}{unit}"
        number /= 1000
    return f"{number:.4g} E"


def _header(plan):
    mesh = " x ".join(f"{name} {size}" for name, size in plan.mesh.items())
    settings = ", ".join(f"{key}={value}" for key, value in plan.settings.items())
    return (
        f"# {plan.stage} on {plan.topology}: {plan.num_devices} devices, {mesh}\n\n"
        f"{settings}"
    )


def _verdict(plan):
    hbm = size_text(plan.chip.hbm_bytes)
    if plan.fits:
        lines = [f"**Fits**: {size_text(plan.step.peak)} of {hbm} a device."]
    else:
        need = f"needs {size_text(plan.needed)}" if plan.needed else "needs more"
        lines = [f"**Does not fit**: {need}; a device has {hbm}."]
        lines += [_remedy(tried) for tried in plan.remedies]
        if plan.fit is None:
            lines.append("What to change was not looked for (--nofit).")
        elif not any(tried.fits for tried in plan.remedies):
            lines.append(_NOTHING_HELPS)
    if plan.fit is not None:
        lines.append(_largest(plan))
    return "\n".join(lines)


def _remedy(tried):
    changes = " ".join(
        f"--config.{key}={value}" for key, value in tried.changes.items()
    )
    if tried.fits:
        return f"Change: {changes} fits, {size_text(tried.peak)} (compiled)."
    need = f"needs {size_text(tried.peak)}" if tried.peak else "needs more still"
    return f"Tried: {changes} {need}."


def _largest(plan):
    tried = ", ".join(
        f"{rows:,}: {size_text(peak) if peak else 'no'}"
        for rows, peak in plan.fit.tried
    )
    if not plan.fit.batch_size:
        return f"No batch fits in this layout (compiled: {tried})."
    return (
        f"Largest batch that fits: {plan.fit.batch_size:,} rows, "
        f"{size_text(plan.fit.peak)} (compiled: {tried})."
    )


def _memory(plan):
    rows = [(name, size_text(size)) for name, size in plan.held.items()]
    if plan.step is not None:
        step = plan.step
        padding = step.arguments - sum(plan.held.values())
        rows += [
            ("batch, and padding of arrays to tiles", size_text(max(padding, 0))),
            ("outputs beside the state", size_text(step.outputs)),
            ("activations and other temporaries", size_text(step.temporaries)),
            ("the program itself", size_text(step.code)),
            ("peak", size_text(step.peak)),
        ]
    rows.append((f"HBM of a device ({plan.chip.name})", size_text(plan.chip.hbm_bytes)))
    return "## Memory of a device\n\n" + table(("what", "size"), rows)


def _parameters(plan):
    total = sum(plan.parameters.values())
    rows = [(name, f"{n:,}", f"{100 * n / total:.1f}") for name, n in _items(plan)]
    rows.append(("all", f"{total:,}", "100.0"))
    return "## Parameters\n\n" + table(("part", "number", "%"), rows)


def _items(plan):
    return plan.parameters.items()


def _program(plan, name, program):
    """Returns the sections on one program."""
    if program is None:
        return []
    if isinstance(program, str):
        return [f"## {name}\n\nNot compiled: {program}."]
    return [
        f"## {name}, {program.rows:,} rows\n\n{_flops(plan, program)}",
        _collectives(program),
        _times(plan, name, program),
    ]


def _flops(plan, program):
    counted, devices = program.flops, plan.num_devices
    rows = [(f"ours: {name}", x) for name, x in counted.parts.items()]
    rows += [
        ("ours: model, all of the above", counted.model),
        ("ours: computed again by remat", counted.recomputed),
        ("ours: matrix products of the optimizer", counted.optimizer),
        ("ours: hardware", counted.hardware),
    ]
    cells = [(what, count_text(x), count_text(x / devices)) for what, x in rows]
    if program.compiler_flops is not None:
        cells.append(("compiler's own count", "", count_text(program.compiler_flops)))
    found = table(("FLOPs of a run", "all devices", "one device"), cells)
    return f"{found}\n\n{_LEFT_OUT}"


def _collectives(program):
    rows = [
        (
            x.kind,
            x.axes,
            f"{x.number:,.0f}",
            size_text(x.payload),
            size_text(x.sent),
            _time(x.seconds),
        )
        for x in program.traffic
    ]
    if not rows:
        return "No collectives."
    head = ("collective", "over", "number", "payload", "sent by a device", "time")
    found = table(head, rows)
    if program.unknown_loops:
        found += f"\n\n{program.unknown_loops} loops of unknown length count once."
    return found


def _times(plan, name, program):
    time = program.roofline
    rows = [
        ("compute", _time(time.compute)),
        (f"HBM, {size_text(program.hbm_traffic)}", _time(time.hbm)),
        ("interconnect", _time(time.interconnect)),
        ("network", _time(time.network)),
        ("all communication hidden", _time(time.overlapped)),
        ("none hidden: the predicted time", _time(time.serial)),
    ]
    peak = plan.chip.peak_flops * plan.num_devices
    shares = [
        f"{100 * program.flops.model / peak / x:.1f} %" if x else "-"
        for x in (time.serial, time.overlapped)
    ]
    rate = program.rows / time.serial if time.serial else 0.0
    return (
        f"{table((f'roofline of the {name.lower()}', 'time'), rows)}\n\n"
        f"Bound by {time.bound}. At the predicted time {count_text(rate)} rows/s and "
        f"model FLOPs of {shares[0]} of the peak ({shares[1]} if all is hidden). "
        f"Compiling took {program.compile_seconds:.0f} s."
    )


def _share(entry, seconds):
    peak = entry.peak_flops
    return f"{100 * entry.step.flops.model / peak / seconds:.1f}" if seconds else "-"


def _assumptions(plan):
    chip = plan.chip
    facts = (
        f"{chip.name}, a device: {chip.peak_flops / 1e12:.1f} TFLOP/s, "
        f"{chip.hbm_bandwidth / 1e9:.0f} GB/s of HBM, {chip.link_bandwidth / 1e9:.0f} "
        f"GB/s a link and direction, {chip.network_bandwidth / 1e9:.2f} GB/s beyond. "
        f"Source: {chip.source}; HBM that a program may use: the compiler's own limit."
    )
    lines = [f"- {line}" for line in (facts, *rooflines.ASSUMPTIONS)]
    return "## Assumptions of the predicted time\n\n" + "\n".join(lines)


def _time(seconds):
    """Returns seconds as text, in s, ms or us."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
