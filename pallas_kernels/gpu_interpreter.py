"""The GPU kernels run on the host, operation by operation: for tests, and slow.

JAX's own interpreter for Mosaic GPU (0.10) knows neither transposed operands nor
accumulators with a first value. This one takes kernels of one warpgroup. Memory starts
as NaN. What is copied to shared memory is NaN until its barrier was waited for; what is
copied from there leaves when that is waited for, and must have been committed. A matrix
product is complete at once, and exp2 and log are exact, which on a GPU they are not.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np


def run(function, *arguments):
    """Returns function(*arguments), where the GPU kernels that it calls run here.

    Args:
      function: of pytrees of arrays; not under `jax.jit`.
      *arguments: those.

    Raises:
      RuntimeError: a kernel waits for what never comes, reads or writes out of bounds,
        or leaves a copy unfinished.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    values = jax.tree.leaves(arguments)
    found = _Program({}).evaluate(closed.jaxpr, closed.consts, values)
    return jax.tree.unflatten(jax.tree.structure(shapes), map(jnp.asarray, found))


class _Barrier:
    """Copies that have not arrived."""

    def __init__(self, num_arrivals):
        self.num_arrivals, self.copies = num_arrivals, []

    def wait(self):
        if len(self.copies) < self.num_arrivals:
            raise RuntimeError("a barrier is waited for that no copy completes.")
        for _ in range(self.num_arrivals):
            source, target = self.copies.pop(0)
            _write(target, source)


class _Program:
    """One program of a grid.

    Attributes:
      place: axis of the grid -> index.
    """

    def __init__(self, place):
        self.place = place
        self._leaving = []  # copies from shared memory
        self._is_committed = True

    def evaluate(self, jaxpr, consts, arguments):
        """Returns the results of a jaxpr."""
        values = dict(zip(jaxpr.constvars, consts, strict=True))
        values |= zip(jaxpr.invars, arguments, strict=True)

        def read(x):
            return x.val if hasattr(x, "val") else values[x]

        for equation in jaxpr.eqns:
            operands = [read(x) for x in equation.invars]
            rule = getattr(self, f"_{equation.primitive.name}", None)
            if rule is None:
                found = self._compute(equation, operands)
            else:
                found = rule(equation, *operands)
            if not equation.primitive.multiple_results:
                found = [found]
            values |= zip(equation.outvars, found, strict=True)
        return [read(x) for x in jaxpr.outvars]

    def _compute(self, equation, operands):
        parameters = equation.primitive.get_bind_params(equation.params)
        return equation.primitive.bind(*map(jnp.asarray, operands), **parameters)

    # The grid.

    def _custom_vmap_call(self, equation, *operands):
        call = equation.params["call"]
        return self.evaluate(call.jaxpr, call.consts, operands)

    def _jit(self, equation, *operands):
        closed = equation.params["jaxpr"]
        return self.evaluate(closed.jaxpr, closed.consts, operands)

    _on_platform = _pjit = _jit

    def _mpmd_map(self, equation, *operands):
        (mesh,), (jaxpr,) = equation.params["meshes"], equation.params["jaxprs"]
        results = [_memory(x.shape, x.dtype) for x in equation.params["out_avals"]]
        references = [*map(np.asarray, operands), *results]
        for indices in itertools.product(*map(range, mesh.grid)):
            place = dict(zip(mesh.grid_names, indices, strict=True))
            program = _Program(place)
            program.evaluate(jaxpr, (), references)
            if program._leaving:
                raise RuntimeError("a kernel ends before its copies to memory do.")
        return results

    def _axis_index(self, equation):
        return np.int32(self.place[equation.params["axis_name"]])

    # Control.

    def _cond(self, equation, index, *operands):
        branch = equation.params["branches"][int(index)]
        return self.evaluate(branch.jaxpr, branch.consts, operands)

    def _scan(self, equation, *operands):
        body, length = equation.params["jaxpr"], equation.params["length"]
        # Loops of kernels carry all that they return, and stack nothing.
        fixed = len(operands) - len(body.jaxpr.outvars)
        fixed, carry = operands[:fixed], operands[fixed:]
        given = [x.aval for x in body.jaxpr.invars[len(fixed) :]]
        if equation.params["reverse"] or given != body.out_avals:
            raise RuntimeError("a scan takes or gives arrays; expected a loop.")
        for _ in range(length):
            carry = self.evaluate(body.jaxpr, body.consts, [*fixed, *carry])
        return carry

    def _while(self, equation, *operands):
        test, body = equation.params["cond_jaxpr"], equation.params["body_jaxpr"]
        of_test, of_body = (
            equation.params["cond_nconsts"],
            equation.params["body_nconsts"],
        )
        for_test, rest = operands[:of_test], operands[of_test:]
        for_body, carry = rest[:of_body], rest[of_body:]
        while self.evaluate(test.jaxpr, test.consts, [*for_test, *carry])[0]:
            carry = self.evaluate(body.jaxpr, body.consts, [*for_body, *carry])
        return carry

    # Memory.

    def _run_scoped(self, equation, *operands):
        jaxpr = equation.params["jaxpr"]
        transforms = equation.params["ref_transforms"]
        scratch = [
            _allocate(x.aval, laid)
            for x, laid in zip(jaxpr.invars, transforms, strict=True)
        ]
        return self.evaluate(jaxpr, operands, scratch)

    def _run_state(self, equation, *operands):
        jaxpr = equation.params["jaxpr"]
        # What is shared already stays itself; a value becomes memory of its own.
        given = [
            x if _is_shared(v.aval) else np.array(x)
            for v, x in zip(jaxpr.invars, operands, strict=True)
        ]
        self.evaluate(jaxpr, (), given)
        return given

    def _get(self, equation, ref, *leaves):
        return np.array(_view(ref, equation.params["tree"].unflatten(leaves)))

    def _swap(self, equation, ref, value, *leaves):
        view = _view(ref, equation.params["tree"].unflatten(leaves))
        before = np.array(view)
        _write(view, value)
        self._is_committed = False
        return before

    def _copy_gmem_to_smem(self, equation, source, target, barrier, *leaves):
        source, target, barrier = _views(
            equation, (source, target, barrier), leaves, ("src", "dst", "barrier")
        )
        target[...] = np.nan
        _barrier(barrier).copies.append((np.array(source), target))
        return []

    def _barrier_wait(self, equation, barrier, *leaves):
        found = equation.params["transforms_treedef"].unflatten(leaves)
        _barrier(_view(barrier, found)).wait()
        return []

    def _copy_smem_to_gmem(self, equation, source, target, *leaves):
        if not self._is_committed:
            raise RuntimeError("shared memory is copied that was not committed.")
        pair = _views(equation, (source, target), leaves, ("src", "dst"))
        self._leaving.append(pair)
        return []

    def _wait_smem_to_gmem(self, *_):
        for source, target in self._leaving:
            _write(target, source)
        self._leaving = []
        return []

    def _commit_smem(self, _):
        self._is_committed = True
        return []

    def _nothing(self, *_):
        return []

    _commit_group = _nothing

    # The matrix unit.

    def _layout_cast(self, _, x):
        return x

    def _wgmma_ref(self, equation, sums, x, y, *leaves):
        trees = (
            equation.params[f"{name}_transforms_tree"] for name in ("acc", "a", "b")
        )
        operands = []
        for operand, tree in zip((sums, x, y), trees, strict=True):
            count = 0 if tree is None else tree.num_leaves
            used, leaves = leaves[:count], leaves[count:]
            operands.append(_view(operand, tree.unflatten(used) if tree else ()))
        sums, x, y = operands
        sums[...] += x.astype(np.float32) @ y.astype(np.float32)
        return []

    def _wgmma_accumulator_deref_p(self, _, sums):
        return np.array(sums)

    _wgmma_accumulator_deref = _wgmma_accumulator_deref_p


def _write(target, source):
    if target.shape != np.shape(source):
        raise RuntimeError(f"{np.shape(source)} is written to {target.shape}.")
    target[...] = source


def _memory(shape, dtype):
    return np.full(shape, np.nan, dtype)


def _allocate(reference, transforms):
    """Returns memory for a reference: barriers, sums that start at zero, or NaN."""
    shape, dtype = reference.shape, reference.dtype
    if hasattr(dtype, "num_arrivals"):
        barriers = np.empty(shape, object)
        for place in np.ndindex(shape):
            barriers[place] = _Barrier(dtype.num_arrivals)
        return barriers
    if any(hasattr(x, "tiling") for x in transforms):
        *lead, rows, columns, height, width = shape
        shape = *lead, rows * height, columns * width
    return np.zeros(shape, dtype) if _is_sums(reference) else _memory(shape, dtype)


def _barrier(x):
    return np.asarray(x, object).item()


def _is_shared(reference):
    return str(reference.memory_space) == "smem"


def _is_sums(reference):
    return str(reference.memory_space) == "regs"


def _view(memory, transforms):
    """Returns the part of memory that transforms name; a write to it writes through."""
    for transform in transforms:
        if hasattr(transform, "indices"):
            places = zip(transform.indices, memory.shape, strict=True)
            memory = memory[tuple(_index(x, size) for x, size in places)]
        elif hasattr(transform, "permutation"):
            memory = memory.transpose(transform.permutation)
        else:  # How rows lie in shared memory does not matter here.
            assert hasattr(transform, "tiling") or hasattr(transform, "swizzle")
    return memory


def _views(equation, operands, leaves, names):
    found = []
    for name, operand in zip(names, operands, strict=True):
        tree = equation.params[f"{name}_transforms_treedef"]
        used, leaves = leaves[: tree.num_leaves], leaves[tree.num_leaves :]
        found.append(_view(operand, tree.unflatten(used)))
    return found


def _index(x, size):
    """Returns an index or slice of an axis, which must lie within its size."""
    start = int(x.start) if hasattr(x, "start") else int(x)
    count, stride = (int(x.size), x.stride) if hasattr(x, "start") else (1, 1)
    stop = start + (count - 1) * stride + 1
    if not 0 <= start < stop <= size:
        raise RuntimeError(f"{start} to {stop} is out of an axis of {size}.")
    return slice(start, stop, stride) if hasattr(x, "start") else start
