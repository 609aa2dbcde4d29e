"""Reads SQL from standard input, a JSON text a line, and prints the milliseconds and the rows that DuckDB has for it."""

import json
import sys
import time

import duckdb

connection = duckdb.connect(sys.argv[1])
# Standard output is for the answers.
connection.execute("SET enable_progress_bar = false")
for line in sys.stdin:
    sql = json.loads(line)
    begun = time.perf_counter()
    rows = connection.execute(sql).fetchall()
    ms = (time.perf_counter() - begun) * 1000
    print(json.dumps({"ms": ms, "rows": rows}), flush=True)
