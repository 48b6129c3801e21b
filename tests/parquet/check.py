"""Reads a block with DuckDB, pyarrow and pandas, as docs/parquet.md shows, and compares with what was written.

    check.py FOLDER

FOLDER holds samples.parquet, series.parquet and expected.csv: metric name, samples, NaNs, sum of the others. The bench
`blocks` leaves such a folder with --out.
"""

import csv
import math
import pathlib
import sys

import duckdb
import pyarrow.parquet as pq


def close(found, expected):
    return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-6)


def compare(reader, found, expected):
    if set(found) != set(expected):
        sys.exit(f"{reader}: other metrics: {sorted(set(found) ^ set(expected))}")
    for name, (n_samples, n_nan, total) in expected.items():
        own = found[name]
        if (own[0], own[1]) != (n_samples, n_nan) or not close(own[2], total):
            sys.exit(f"{reader}: {name} has {own}, written was {(n_samples, n_nan, total)}")
    print(f"{reader}: {len(expected)} metrics, {sum(row[0] for row in expected.values())} samples as written")


def with_duckdb(folder):
    rows = duckdb.sql(
        f"""
        SELECT series.__name__, count(*), count(*) FILTER (isnan(value)),
               coalesce(sum(value) FILTER (NOT isnan(value)), 0)
        FROM (
            SELECT series_id, coalesce(value_int, value_float) AS value FROM '{folder}/samples.parquet'
        ) AS samples
        JOIN '{folder}/series.parquet' AS series USING (series_id)
        GROUP BY ALL
        """
    ).fetchall()
    return {name: (n_samples, n_nan, total) for name, n_samples, n_nan, total in rows}


def with_pandas(folder):
    series = pq.read_table(folder / "series.parquet").to_pandas()
    samples = pq.read_table(folder / "samples.parquet").to_pandas()
    samples["value"] = samples["value_int"].astype("float64").fillna(samples["value_float"])
    joined = samples.merge(series[["series_id", "__name__"]], on="series_id")
    groups = joined.groupby("__name__", observed=True)["value"]
    return {
        name: (len(values), int(values.isna().sum()), float(values.sum())) for name, values in groups
    }


def rows_are_where_they_should_be(folder):
    """The rows of a series are those that series.parquet names, sorted by time; pages can be left out by their limits."""
    series = pq.read_table(folder / "series.parquet").to_pandas()
    samples = pq.read_table(folder / "samples.parquet", columns=["series_id", "timestamp"]).to_pandas()
    for row in series.iloc[:: max(1, len(series) // 50)].itertuples():
        own = samples.iloc[row.first_row : row.first_row + row.n_rows]
        assert (own["series_id"] == row.series_id).all(), row
        assert own["timestamp"].is_monotonic_increasing and own["timestamp"].is_unique, row
        filtered = pq.read_table(folder / "samples.parquet", filters=[("series_id", "==", row.series_id)])
        assert filtered.num_rows == row.n_rows, row
    assert series["n_rows"].sum() == len(samples)
    print(f"rows of {len(series)} series are where series.parquet says")


def main():
    folder = pathlib.Path(sys.argv[1])
    with open(folder / "expected.csv", newline="") as file:
        expected = {
            name: (int(n_samples), int(n_nan), float(total)) for name, n_samples, n_nan, total in csv.reader(file)
        }
    compare("duckdb", with_duckdb(folder), expected)
    compare("pandas", with_pandas(folder), expected)
    rows_are_where_they_should_be(folder)


main()
