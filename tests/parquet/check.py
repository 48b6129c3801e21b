"""Reads a block with DuckDB, pyarrow and pandas, as docs/parquet.md shows, and compares with what was written.

    check.py FOLDER

FOLDER holds the files of a block; expected.csv: metric name, samples, NaNs, sum of the others; and
expected_histograms.csv: service, native histograms, observations and sum of the last one. The bench `blocks` leaves such a
folder with --out.
"""

import csv
import math
import pathlib
import sys

import duckdb
import numpy as np
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


def histograms_with_duckdb(folder):
    """By service: histograms, and of the last one the observations and the sum, but for its last bits."""
    rows = duckdb.sql(
        f"""
        WITH runs AS (
            SELECT series_id, len(timestamps) AS n, count_changes,
                   CASE WHEN sum_scale < 0 THEN sums[len(sums)] ELSE list_sum(sum_steps) / 10.0 ** sum_scale END AS sum,
                   row_number() OVER (PARTITION BY series_id ORDER BY timestamps[1] DESC) AS from_last
            FROM '{folder}/histograms.parquet'
        )
        SELECT series.service, sum(n),
               sum(list_sum(count_changes)) FILTER (from_last = 1),
               max(sum) FILTER (from_last = 1)
        FROM runs
        JOIN '{folder}/series.parquet' AS series USING (series_id)
        GROUP BY ALL
        """
    ).fetchall()
    return {service: tuple(row) for service, *row in rows}


def histograms_with_pandas(folder):
    runs = pq.read_table(folder / "histograms.parquet").to_pandas()
    series = pq.read_table(folder / "series.parquet").to_pandas()
    found = {}
    for run in runs.merge(series[["series_id", "service"]], on="series_id").itertuples():
        n_buckets = sum(span["length"] for side in (run.positive_spans, run.negative_spans) for span in side)
        deltas = np.zeros(len(run.timestamps) * (2 + n_buckets), dtype="int64")
        deltas[np.cumsum(run.count_gaps + 1) - 1] = run.count_changes
        counts = np.cumsum(deltas.reshape(len(run.timestamps), -1), axis=0)
        assert (counts >= 0).all() and (counts[:, 0] == 0).all(), run
        sums = run.sums
        if run.sum_scale >= 0:
            nearest = np.cumsum(run.sum_steps) / 10.0**run.sum_scale
            sums = (nearest.view("int64") + np.cumsum(run.sum_corrections)).view("float64")
        assert len(sums) == len(run.timestamps), run
        n_before = found.get(run.service, (0,))[0]
        found[run.service] = (n_before + len(run.timestamps), counts[-1].sum(), sums[-1])
    return found


def compare_histograms(reader, found, expected, is_same):
    if set(found) != set(expected):
        sys.exit(f"{reader}: histograms of other services: {sorted(set(found) ^ set(expected))}")
    for service, (n_histograms, observations, total) in expected.items():
        own = found[service]
        if (own[0], own[1]) != (n_histograms, observations) or not is_same(own[2], total):
            sys.exit(f"{reader}: {service} has {own}, written was {(n_histograms, observations, total)}")
    print(f"{reader}: {sum(row[0] for row in expected.values())} native histograms as written")


def main():
    folder = pathlib.Path(sys.argv[1])
    with open(folder / "expected.csv", newline="") as file:
        expected = {
            name: (int(n_samples), int(n_nan), float(total)) for name, n_samples, n_nan, total in csv.reader(file)
        }
    compare("duckdb", with_duckdb(folder), expected)
    compare("pandas", with_pandas(folder), expected)
    rows_are_where_they_should_be(folder)
    with open(folder / "expected_histograms.csv", newline="") as file:
        expected = {
            service: (int(n_histograms), int(observations), float(total))
            for service, n_histograms, observations, total in csv.reader(file)
        }
    compare_histograms("duckdb", histograms_with_duckdb(folder), expected, close)
    compare_histograms("pandas", histograms_with_pandas(folder), expected, float.__eq__)


main()
