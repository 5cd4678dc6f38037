"""Predictions are files, scores come from files, tables come from scores.

`predict` reads and writes predictions.jsonl, `score` turns it and a data set into
scores.json, and `tables` turns scores into table.json, table.md and table.tex.
"""
