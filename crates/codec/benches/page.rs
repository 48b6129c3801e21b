//! Encoding and decoding of pages, and what a value takes, for the columns a mesh has.
//!
//! Criterion reports values per second; the sizes are printed first.
#![expect(clippy::print_stdout, reason = "the sizes are part of the result")]

use std::hint::black_box;

use codec::{PageReader, PageWriter, Presence};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson};

const N_COLUMNS: usize = 20;

/// A kind of columns: its name, and how the next value follows from the one before.
type Kind = (&'static str, fn(f64, &mut ChaCha8Rng) -> f64);

const KINDS: [Kind; 6] = [
    ("idle", |value, _| value),
    ("counter_0.1_per_row", |value, chance| {
        value + poisson(0.1, chance)
    }),
    ("counter_2_per_row", |value, chance| value + poisson(2.0, chance)),
    ("counter_500_per_row", |value, chance| {
        value + poisson(500.0, chance)
    }),
    ("sum_two_decimals", |value, chance| {
        ((value + poisson(20.0, chance) * 12.34) * 100.0).round() / 100.0
    }),
    ("gauge_any_bits", |_, chance| chance.random::<f64>()),
];

fn poisson(mean: f64, chance: &mut ChaCha8Rng) -> f64 {
    Poisson::new(mean).expect("a positive mean").sample(chance)
}

struct Data {
    timestamps_ms: Vec<i64>,
    columns: Vec<Vec<f64>>,
}

impl Data {
    fn new(n_rows: usize, kind: Kind) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let timestamps_ms = (0..n_rows as i64)
            .map(|row| 1_700_000_000_000 + row * 15_000)
            .collect();
        let mut column = |_| {
            let mut value = f64::from(chance.random_range(0..100_000));
            let mut next = |_| {
                value = kind.1(value, &mut chance);
                value
            };
            (0..n_rows).map(&mut next).collect()
        };
        let columns = (0..N_COLUMNS).map(&mut column).collect();
        Self {
            timestamps_ms,
            columns,
        }
    }

    fn encode<'a>(&self, writer: &'a mut PageWriter) -> &'a [u8] {
        writer.begin(&self.timestamps_ms);
        for values in &self.columns {
            writer.push(values, Presence::All);
        }
        writer.finish()
    }
}

fn decode(page: &[u8], values: &mut [f64]) -> bool {
    let page = PageReader::open(page).expect("a page");
    let mut may_be_nan = false;
    for column_idx in 0..page.n_columns() {
        let column = page.column(column_idx).expect("a column");
        may_be_nan |= column.read(0..page.n_rows(), values, |_| ()).expect("values");
        black_box(&*values);
    }
    may_be_nan
}

fn pages(criterion: &mut Criterion) {
    let mut writer = PageWriter::default();
    for n_rows in [16, 64, 256] {
        for kind in KINDS {
            let data = Data::new(n_rows, kind);
            let n_bytes = data.encode(&mut writer).len();
            let n_values = n_rows * N_COLUMNS;
            let checksum = codec::checksum::crc32c(data.encode(&mut writer));
            println!(
                "{n_rows:>4} rows {:<20} {:.3} B per value ({checksum:08x})",
                kind.0,
                n_bytes as f64 / n_values as f64
            );
        }
    }
    let mut group = criterion.benchmark_group("page");
    for n_rows in [16, 256] {
        for kind in KINDS {
            let data = Data::new(n_rows, kind);
            group.throughput(Throughput::Elements((n_rows * N_COLUMNS) as u64));
            group.bench_function(
                BenchmarkId::new(format!("encode/{}", kind.0), n_rows),
                |bencher| {
                    bencher.iter(|| data.encode(&mut writer).len());
                },
            );
            let page = data.encode(&mut writer).to_vec();
            let mut values = vec![0.0; n_rows];
            group.bench_function(
                BenchmarkId::new(format!("decode/{}", kind.0), n_rows),
                |bencher| {
                    bencher.iter(|| decode(&page, &mut values));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, pages);
criterion_main!(benches);
