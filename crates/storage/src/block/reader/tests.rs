//! What is written comes back, whatever it is; damage is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use model::{Labels, MatchOp, Matcher, TimeRange, stale_nan};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::super::MemoryFile;
use super::super::RangeRead;
use super::super::testing::{
    Content, LaneSamples, LaneText, N_NATIVES, WrittenBlock, all_of_selection, any_content, labels,
    lane_kind, lane_text, samples_of, series_labels, write,
};
use super::{Block, BlockFiles, BlockSource, PageCache};
use crate::{Error, Source, StreamBuffer};

/// A small block with all that is special.
fn mixed() -> Content {
    let mut content = Content::new();
    let value = || ("", String::new());
    let counter = |n: i64, step: i64| -> LaneSamples {
        (0..n)
            .map(|i| (1_000_000 + i * 15_000, ((i * step) as f64, 0)))
            .map(|(t, (v, s))| (t, (f64::to_bits(v), s, 0)))
            .collect()
    };
    let mut special = counter(300, 3);
    let odd = [
        stale_nan(),
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        f64::from_bits(0xfff8_0000_0000_1234),
        0.1,
    ];
    for (i, value) in (0..).zip(odd) {
        special.insert(1_000_000 + i * 15_000 * 40, (value.to_bits(), 0, 0));
    }
    content.insert(
        ("up".into(), labels(&[("job", "a")])),
        BTreeMap::from([(value(), special)]),
    );
    content.insert(
        ("up".into(), labels(&[("job", "b"), ("le", "7")])),
        BTreeMap::from([(value(), counter(7, 0))]),
    );
    let mut histogram = BTreeMap::new();
    for (i, le) in (0..).zip(["0.5", "1", "10", "+Inf"]) {
        histogram.insert(("_bucket", le.to_string()), counter(500, i));
    }
    histogram.insert(("_count", String::new()), counter(500, 3));
    let mut sums = counter(400, 1);
    sums.values_mut().for_each(|(bits, start_ms, _)| {
        *bits = (f64::from_bits(*bits) * 0.37).to_bits();
        *start_ms = 500;
    });
    histogram.insert(("_sum", String::new()), sums);
    content.insert(("req".into(), labels(&[("job", "a")])), histogram);
    // Native histograms, alone and between floats, with start timestamps at the end.
    let numbered = |number: fn(i64) -> i64| -> LaneSamples {
        let sample = |i: i64| {
            let start_ms = if i > 100 { 900_000 } else { 0 };
            let sum = (i as f64 * 0.1).to_bits();
            (1_000_000 + i * 15_000, (sum, start_ms, number(i) as u8))
        };
        (0..200).map(sample).collect()
    };
    let kinds = |i: i64| i % (i64::from(N_NATIVES) + 1);
    for (job, samples) in [
        ("a", numbered(kinds)),
        ("b", numbered(|i| 1 + i64::from(i % 50 > 3))),
    ] {
        let key = ("native".to_owned(), labels(&[("job", job)]));
        content.insert(key, BTreeMap::from([(value(), samples)]));
    }
    content
}

fn source(block: &WrittenBlock) -> BlockSource {
    let block = block.open();
    let catalog = Arc::new(block.load_catalog().unwrap());
    BlockSource::new(block, catalog, Arc::new(PageCache::new(1 << 24)))
}

/// Everything that a source gives for these matchers, by labels.
fn all_of(source: &dyn Source, matchers: &[Matcher], range: TimeRange) -> BTreeMap<Labels, LaneSamples> {
    all_of_selection(&*source.select(matchers, range).unwrap(), range)
}

fn expected(content: &Content, matchers: &[Matcher], range: TimeRange) -> BTreeMap<Labels, LaneSamples> {
    let mut expected = BTreeMap::new();
    for ((base, entity), lanes) in content {
        for (lane, samples) in lanes {
            let labels = series_labels(base, entity, lane);
            if !samples.is_empty()
                && matchers
                    .iter()
                    .all(|matcher| matcher.matches(labels.get(matcher.name())))
            {
                let within = samples
                    .iter()
                    .filter(|(timestamp_ms, _)| range.contains(**timestamp_ms));
                expected.insert(labels, within.map(|(t, sample)| (*t, *sample)).collect());
            }
        }
    }
    expected
}

#[test]
fn every_bit_comes_back() {
    let content = mixed();
    let block = write(&content).unwrap();
    block.open().verify().unwrap();
    let source = source(&block);
    for range in [
        TimeRange::ALL,
        TimeRange {
            start_ms: 1_000_000,
            end_ms: 4_000_000,
        },
        TimeRange {
            start_ms: 4_000_001,
            end_ms: 4_000_002,
        },
    ] {
        assert_eq!(
            all_of(&source, &[], range),
            expected(&content, &[], range),
            "{range:?}"
        );
    }
}

#[test]
fn matchers_pick_what_they_pick_by_text() {
    let content = mixed();
    let source = source(&write(&content).unwrap());
    let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
    for matchers in [
        vec![matcher(MatchOp::Equal, "__name__", "req_bucket")],
        vec![
            matcher(MatchOp::Regex, "__name__", "req.*"),
            matcher(MatchOp::NotEqual, "le", ""),
        ],
        vec![matcher(MatchOp::Equal, "le", "")],
        vec![matcher(MatchOp::Regex, "le", "7|10")],
        vec![matcher(MatchOp::NotRegex, "job", "a.*")],
        vec![matcher(MatchOp::Equal, "job", "c")],
        vec![matcher(MatchOp::Equal, "absent", "")],
        vec![matcher(MatchOp::NotEqual, "absent", "")],
        vec![
            matcher(MatchOp::NotEqual, "__name__", "up"),
            matcher(MatchOp::Regex, "job", ".*"),
        ],
    ] {
        let found = all_of(&source, &matchers, TimeRange::ALL);
        assert_eq!(
            found,
            expected(&content, &matchers, TimeRange::ALL),
            "{matchers:?}"
        );
    }
    assert_eq!(
        source
            .label_names(TimeRange::ALL)
            .unwrap()
            .iter()
            .map(|name| &**name)
            .collect::<Vec<_>>(),
        ["__name__", "job", "le"]
    );
    assert_eq!(source.label_values("le", TimeRange::ALL).unwrap().len(), 5);
    assert_eq!(source.label_values("__name__", TimeRange::ALL).unwrap().len(), 5);
}

#[test]
fn series_come_by_metric_entity_and_lane() {
    let content = mixed();
    let block = write(&content).unwrap().open();
    let catalog = block.load_catalog().unwrap();
    let expected = content.iter().map(|((base, entity), lanes)| {
        let mut lanes: Vec<LaneText> = lanes.keys().cloned().collect();
        lanes.sort_by(|a, b| lane_kind(a).compare(&lane_kind(b)));
        (base.clone(), entity.clone(), lanes)
    });
    let found = (0..catalog.n_streams()).map(|stream_idx| {
        let stream = catalog.stream(stream_idx);
        let lanes = stream.lanes().map(lane_text).collect();
        (
            stream.base().to_owned(),
            catalog.entity_labels(stream.entity()),
            lanes,
        )
    });
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn long_series_span_pages() {
    let samples: LaneSamples = (0..150_000)
        .map(|t| (t * 7, (((t * t) as f64).to_bits(), t % 3, 0)))
        .collect();
    let lanes = [
        ("_count", String::new()),
        ("_bucket", "1".to_owned()),
        ("_bucket", "+Inf".to_owned()),
    ];
    let content = Content::from([
        (
            ("a".to_owned(), labels(&[])),
            lanes.clone().map(|lane| (lane, samples.clone())).into(),
        ),
        (
            ("b".to_owned(), labels(&[])),
            lanes.clone().map(|lane| (lane, samples.clone())).into(),
        ),
    ]);
    let block = write(&content).unwrap();
    let source = source(&block);
    for (start_ms, end_ms) in [(-1, i64::MAX), (458_000, 459_500), (500_000, 1_000_000)] {
        let range = TimeRange { start_ms, end_ms };
        assert!(
            all_of(&source, &[], range) == expected(&content, &[], range),
            "{range:?}"
        );
    }
    block.open().verify().unwrap();
}

/// Offsets and lengths of what was read.
type Reads = Vec<(u64, usize)>;

/// A file that notes how it is read.
#[derive(Debug)]
struct NotedFile {
    file: MemoryFile,
    reads: Arc<Mutex<Reads>>,
}

impl RangeRead for NotedFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&self, offset: u64, n_bytes: usize) -> std::io::Result<Bytes> {
        self.reads.lock().push((offset, n_bytes));
        self.file.read_at(offset, n_bytes)
    }
}

/// A source whose reads of `samples.parquet` are noted.
fn noted_source(block: &WrittenBlock) -> (BlockSource, Arc<Mutex<Reads>>) {
    let reads = Arc::<Mutex<Reads>>::default();
    let files = BlockFiles {
        samples: Arc::new(NotedFile {
            file: MemoryFile::new("samples.parquet", block.samples.clone()),
            reads: Arc::clone(&reads),
        }),
        series: Arc::new(MemoryFile::new("series.parquet", block.series.clone())),
        histograms: None,
    };
    let block = Arc::new(Block::open(block.manifest.clone(), files).unwrap());
    let catalog = Arc::new(block.load_catalog().unwrap());
    reads.lock().clear();
    let source = BlockSource::new(block, catalog, Arc::new(PageCache::new(1 << 24)));
    (source, reads)
}

#[test]
fn of_a_long_series_only_pages_of_the_range_are_read() {
    let samples: LaneSamples = (0..300_000).map(|t| (t, ((t as f64).to_bits(), 0, 0))).collect();
    let content = Content::from([(
        ("a".to_owned(), labels(&[])),
        [(("", String::new()), samples)].into(),
    )]);
    let block = write(&content).unwrap();
    let n_pages = 300_000_u64.div_ceil(65_536);
    // Of timestamps and of integers each.
    let check = |start_ms: i64, end_ms: i64, n_read: u64| {
        let (source, _) = noted_source(&block);
        let range = TimeRange { start_ms, end_ms };
        let found = source.select(&[], range).unwrap();
        let mut buffer = StreamBuffer::default();
        found.read(0, range, &mut buffer).unwrap();
        assert_eq!(buffer.timestamps_ms.first(), Some(&(start_ms + 1).max(0)));
        assert_eq!(buffer.timestamps_ms.last(), Some(&end_ms.min(299_999)));
        let last = *buffer.timestamps_ms.last().unwrap() as f64;
        assert_eq!(buffer.lanes()[0].values.last(), Some(&last));
        assert_eq!(source.cache.stats().misses, 2 * n_read, "{range:?}");
    };
    check(-1, i64::MAX, n_pages);
    check(-1, 65_535, 1);
    check(65_535, 65_536, 1);
    check(70_000, 140_000, 2);
    check(262_143, i64::MAX, 1);
}

#[test]
fn neighbouring_pages_are_read_together_and_the_others_not_at_all() {
    let samples = |lane: i64| -> LaneSamples {
        (0..20_000)
            .map(|t| (t * 15_000, (((t * lane) as f64).to_bits(), 0, 0)))
            .collect()
    };
    // Each of them is a page of its own.
    let lanes = (0..8).map(|lane| (("_bucket", lane.to_string()), samples(lane)));
    let content = Content::from([(("a".to_owned(), labels(&[])), lanes.collect())]);
    let block = write(&content).unwrap();
    let table_start = block.manifest.samples.page_table.unwrap().offset;
    let (source, reads) = noted_source(&block);
    let n_reads = |le: &str| {
        reads.lock().clear();
        let matcher = Matcher::new(MatchOp::Regex, "le", le).unwrap();
        let _ = all_of_range(&source, &[matcher]);
        let reads = reads.lock();
        reads.iter().filter(|(offset, _)| *offset < table_start).count()
    };
    assert_eq!(n_reads("0"), 2, "timestamps and values");
    assert_eq!(n_reads("[1-3]"), 1, "the values of three");
    assert_eq!(n_reads("[4-7]"), 1);
    assert_eq!(n_reads(".*"), 0, "all are known");
}

#[test]
fn of_many_pages_only_those_of_the_streams_asked_for_are_looked_up() {
    let samples: LaneSamples = (0..5_000)
        .map(|t| (t * 15_000, ((t as f64).to_bits(), 0, 0)))
        .collect();
    // Each of them is a page of its own.
    let stream = |n: i64| {
        let key = ("a".to_owned(), labels(&[("n", &format!("{n:03}"))]));
        (key, [(("", String::new()), samples.clone())].into())
    };
    let content: Content = (0..100).map(stream).collect();
    let block = write(&content).unwrap();
    let table = block.manifest.samples.page_table.unwrap();
    let (source, reads) = noted_source(&block);
    let n_looked_up = |name: &str| {
        reads.lock().clear();
        let matcher = Matcher::new(MatchOp::Regex, "n", name).unwrap();
        let found = all_of(&source, std::slice::from_ref(&matcher), TimeRange::ALL);
        assert!(found == expected(&content, &[matcher], TimeRange::ALL));
        let reads = reads.lock();
        let of_table = reads.iter().filter(|(offset, _)| *offset >= table.offset);
        of_table.map(|(_, n_bytes)| n_bytes).sum::<usize>()
    };
    let one = n_looked_up("050");
    assert!(one > 0 && one < table.sections_bytes as usize / 3, "{one} bytes");
    assert_eq!(n_looked_up("051"), 0, "it stands beside the one before");
    let rest = n_looked_up(".*");
    assert_eq!(one + rest, table.sections_bytes as usize);
}

#[test]
fn a_column_without_values_has_a_page_for_many() {
    let samples: LaneSamples = (0..5_000)
        .map(|t| (t * 15_000, ((t as f64).to_bits(), 0, 0)))
        .collect();
    let stream = |n: i64| {
        let key = ("a".to_owned(), labels(&[("n", &n.to_string())]));
        (key, [(("", String::new()), samples.clone())].into())
    };
    let mut content: Content = (0..3).map(stream).collect();
    let n_pages = |content: &Content| {
        let bytes = Bytes::from(write(content).unwrap().samples);
        let options = parquet::file::serialized_reader::ReadOptionsBuilder::new().with_page_index();
        let reader =
            parquet::file::serialized_reader::SerializedFileReader::new_with_options(bytes, options.build());
        let reader = reader.unwrap();
        let metadata = parquet::file::reader::FileReader::metadata(&reader);
        let offsets = metadata.offset_index().unwrap()[0].iter();
        offsets
            .map(|column| column.page_locations().len())
            .collect::<Vec<_>>()
    };
    assert_eq!(n_pages(&content), [3, 3, 3, 1, 1]);
    let last = content.values_mut().last().unwrap();
    last.values_mut()
        .next()
        .unwrap()
        .insert(1, (0.5_f64.to_bits(), 7, 0));
    assert_eq!(n_pages(&content), [3, 3, 3, 3, 3]);
    let block = write(&content).unwrap();
    assert!(read_all(&block).unwrap() == expected(&content, &[], TimeRange::ALL));
    block.open().verify().unwrap();
}

#[test]
fn other_pages_in_the_footer_than_in_the_page_table_are_damage() {
    let block = write(&mixed()).unwrap();
    let summary = block.manifest.samples;
    let start = (summary.n_bytes - summary.footer_bytes) as usize;
    let mut n_found = 0;
    for place in start..block.samples.len() {
        let mut damaged = block.clone();
        damaged.samples[place] ^= 1;
        damaged.manifest.samples.crc32c = codec::checksum::crc32c(&damaged.samples);
        damaged.manifest.samples.footer_crc32c = codec::checksum::crc32c(&damaged.samples[start..]);
        if let Err(error) = damaged.open().verify() {
            n_found += usize::from(error.to_string().contains("other pages"));
        }
    }
    assert!(n_found > 20, "{n_found}");
}

/// What a source gives for these matchers, without asking for the newest as well.
fn all_of_range(source: &BlockSource, matchers: &[Matcher]) -> usize {
    let found = source.select(matchers, TimeRange::ALL).unwrap();
    let mut buffer = StreamBuffer::default();
    found.read(0, TimeRange::ALL, &mut buffer).unwrap();
    buffer.lanes().len()
}

#[test]
fn a_few_wide_integers_survive() {
    for n_samples in 1..40 {
        let wide = |t: i64| {
            if t % 2 == 0 {
                9_007_199_254_740_992.0_f64
            } else {
                -9_007_199_254_740_992.0
            }
        };
        let samples: LaneSamples = (0..n_samples).map(|t| (t, (wide(t).to_bits(), 0, 0))).collect();
        let content = Content::from([(
            ("a".to_owned(), labels(&[])),
            [(("", String::new()), samples)].into(),
        )]);
        let found = all_of(&source(&write(&content).unwrap()), &[], TimeRange::ALL);
        assert!(found == expected(&content, &[], TimeRange::ALL), "{n_samples}");
    }
}

#[test]
fn many_short_streams_share_a_page() {
    let samples = |n: i64| -> LaneSamples {
        (0..5)
            .map(|t| (t * 1_000 + n % 3, ((n as f64 / 4.0).to_bits(), n % 2, 0)))
            .collect()
    };
    let stream = |n: i64| {
        (
            ("a".to_owned(), labels(&[("n", &n.to_string())])),
            [(("", String::new()), samples(n))].into(),
        )
    };
    let content: Content = (0..2_000).map(stream).collect();
    let block = write(&content).unwrap();
    assert!(all_of(&source(&block), &[], TimeRange::ALL) == expected(&content, &[], TimeRange::ALL));
    block.open().verify().unwrap();
}

#[test]
fn a_block_of_native_histograms_alone_is_a_block() {
    let samples: LaneSamples = (0..5_000)
        .map(|t| (t * 7, ((t as f64).to_bits(), t / 3_000, 1 + (t / 40 % 2) as u8)))
        .collect();
    let stream = |job: &str| {
        let key = ("h".to_owned(), labels(&[("job", job)]));
        (key, [(("", String::new()), samples.clone())].into())
    };
    let content: Content = (0..20).map(|job| stream(&job.to_string())).collect();
    let block = write(&content).unwrap();
    let manifest = &block.manifest;
    assert_eq!((manifest.n_samples, manifest.n_histograms), (0, 100_000));
    block.open().verify().unwrap();
    let source = source(&block);
    for (start_ms, end_ms) in [(-1, i64::MAX), (7_000, 7_100), (20_000, 28_000)] {
        let range = TimeRange { start_ms, end_ms };
        assert!(
            all_of(&source, &[], range) == expected(&content, &[], range),
            "{range:?}"
        );
    }
    assert!(read_all(&block).unwrap() == expected(&content, &[], TimeRange::ALL));
}

#[test]
fn histograms_whose_file_is_missing_are_damage() {
    let block = write(&mixed()).unwrap();
    let mut files = BlockFiles {
        samples: Arc::new(MemoryFile::new("samples.parquet", block.samples.clone())),
        series: Arc::new(MemoryFile::new("series.parquet", block.series.clone())),
        histograms: None,
    };
    let result = Block::open(block.manifest.clone(), files.clone());
    assert!(matches!(result, Err(Error::Damaged { .. })));
    let cut = block.histograms[1..].to_vec();
    files.histograms = Some(Arc::new(MemoryFile::new("histograms.parquet", cut)));
    let result = Block::open(block.manifest, files);
    assert!(matches!(result, Err(Error::Damaged { .. })));
}

#[test]
fn a_block_without_a_sample_is_none() {
    assert!(write(&Content::new()).is_none());
    let empty = BTreeMap::from([(("", String::new()), LaneSamples::new())]);
    assert!(write(&Content::from([(("up".to_owned(), labels(&[])), empty)])).is_none());
}

/// Reads everything there is without a look at the checksum of the whole file.
fn read_all(block: &WrittenBlock) -> Result<BTreeMap<Labels, LaneSamples>, Error> {
    let block = Arc::new(block.try_open()?);
    let catalog = Arc::new(block.load_catalog()?);
    let mut buffer = StreamBuffer::stored();
    let mut found = BTreeMap::new();
    for stream_idx in 0..catalog.n_streams() {
        block.read_stream(&catalog, stream_idx, TimeRange::ALL, None, &mut buffer)?;
        let stream = catalog.stream(stream_idx);
        let entity = catalog.entity_labels(stream.entity());
        for (lane, samples) in stream.lanes().zip(samples_of(&buffer)) {
            found.insert(series_labels(stream.base(), &entity, &lane_text(lane)), samples);
        }
    }
    Ok(found)
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_or_changes_nothing() {
    let content = mixed();
    let block = write(&content).unwrap();
    let sound = read_all(&block).unwrap();
    let check = |damaged: &WrittenBlock, place: &str| {
        if let Ok(found) = read_all(damaged) {
            assert!(found == sound, "{place}");
        }
        match damaged.open().verify() {
            Err(Error::Damaged { path, offset, .. }) => {
                assert!(
                    place.starts_with(path.to_str().unwrap()) && offset <= block.samples.len() as u64,
                    "{place}"
                );
            }
            other => panic!("{place}: {other:?}"),
        }
    };
    for bit in (0..block.samples.len() * 8).step_by(29) {
        let mut damaged = block.clone();
        damaged.samples[bit / 8] ^= 1 << (bit % 8);
        check(&damaged, &format!("samples.parquet {bit}"));
    }
    for bit in (0..block.histograms.len() * 8).step_by(37) {
        let mut damaged = block.clone();
        damaged.histograms[bit / 8] ^= 1 << (bit % 8);
        check(&damaged, &format!("histograms.parquet {bit}"));
    }
    for bit in (0..block.series.len() * 8).step_by(61) {
        let mut damaged = block.clone();
        damaged.series[bit / 8] ^= 1 << (bit % 8);
        check(&damaged, &format!("series.parquet {bit}"));
    }
}

#[test]
fn a_cut_file_is_an_error() {
    let block = write(&mixed()).unwrap();
    let mut cut = block.clone();
    cut.samples.pop();
    assert!(matches!(cut.try_open(), Err(Error::Damaged { .. })));
    let mut longer = block;
    longer.series.push(0);
    assert!(matches!(longer.try_open(), Err(Error::Damaged { .. })));
}

#[test]
fn pages_are_read_once_while_they_are_cached() {
    let source = source(&write(&mixed()).unwrap());
    let _ = all_of(&source, &[], TimeRange::ALL);
    let cold = source.cache.stats();
    let _ = all_of(&source, &[], TimeRange::ALL);
    let warm = source.cache.stats();
    assert_eq!((cold.misses, cold.read_bytes), (warm.misses, warm.read_bytes));
    assert!(warm.hits > cold.hits && warm.held_bytes > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_content_comes_back(content in any_content(), start_ms in -1..70_i64, len in 0..70_i64) {
        let Some(block) = write(&content) else {
            prop_assert!(content.values().flat_map(BTreeMap::values).all(BTreeMap::is_empty));
            return Ok(());
        };
        block.open().verify().unwrap();
        let source = source(&block);
        let range = TimeRange { start_ms, end_ms: start_ms + len };
        prop_assert_eq!(all_of(&source, &[], TimeRange::ALL), expected(&content, &[], TimeRange::ALL));
        let mut within = expected(&content, &[], range);
        if !range.overlaps(block.manifest.first_ms, block.manifest.last_ms) {
            within.clear();
        }
        prop_assert_eq!(all_of(&source, &[], range), within);
    }
}
