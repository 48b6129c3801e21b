//! What has to hold for the files of a block whatever bytes they have, as a function that panics when it does not.
//!
//! Checksums would refuse nearly everything that is made up. So those of page tables and pages are made to fit first:
//! what is looked at is what the rest of the reader makes of pages and tables that somebody has made. `series.parquet` is
//! decoded by the `parquet` crate, which is not what is looked at: it has to be intact.

use std::ops::Range;
use std::sync::Arc;

use codec::checksum::crc32c;
use codec::varint;
use model::TimeRange;

use super::manifest::{FileSummary, Manifest};
use super::reader::{Block, BlockFiles, BlockSource, PageCache};
use super::schema::{HistogramColumn, SampleColumn};
use super::{MemoryFile, RangeRead};
use crate::{NewestBuffer, Source, StreamBuffer};

/// A block, given as four pieces (`manifest.json` without its checksum, `samples.parquet`, `series.parquet`,
/// `histograms.parquet`), each behind its length as four bytes, is read or refused.
///
/// # Panics
/// When that does not hold.
pub(crate) fn block(bytes: &[u8]) {
    let Some([manifest, samples, series, histograms]) = pieces(bytes) else {
        return;
    };
    let Ok(mut manifest) = serde_json::from_slice::<Manifest>(manifest) else {
        return;
    };
    let (mut samples, mut histograms) = (samples.to_vec(), histograms.to_vec());
    reseal(&mut samples, &mut manifest.samples, SampleColumn::ALL.len());
    manifest.series.n_bytes = series.len() as u64;
    let has_histograms = manifest.histograms.as_mut().map(|summary| {
        let columns = HistogramColumn::of_version(manifest.version);
        reseal(&mut histograms, summary, columns.len());
    });
    let file = |name: &str, bytes: Vec<u8>| -> Arc<dyn RangeRead> { Arc::new(MemoryFile::new(name, bytes)) };
    let files = BlockFiles {
        samples: file("samples.parquet", samples),
        series: file("series.parquet", series.to_vec()),
        histograms: has_histograms.map(|()| file("histograms.parquet", histograms)),
    };
    // What stood in footers, before there were page tables, the `parquet` crate has to decode, too.
    let has_tables = manifest.samples.page_table.is_some()
        && manifest
            .histograms
            .is_none_or(|histograms| histograms.page_table.is_some());
    if has_tables && let Ok(block) = Block::open(manifest, files) {
        read_all(Arc::new(block));
    }
}

fn read_all(block: Arc<Block>) {
    let Ok(catalog) = block.load_catalog() else {
        return;
    };
    let catalog = Arc::new(catalog);
    let mut buffer = StreamBuffer::stored();
    for stream_idx in 0..catalog.n_streams() {
        let read = block.read_stream(&catalog, stream_idx, TimeRange::ALL, None, &mut buffer);
        if read.is_ok() {
            let n_rows = buffer.timestamps_ms.len();
            assert!(buffer.lanes().iter().all(|lane| lane.values.len() == n_rows));
        }
    }
    let source = BlockSource::new(block, catalog, Arc::new(PageCache::new(1 << 20)));
    let range = TimeRange {
        start_ms: 0,
        end_ms: 1_500_000,
    };
    let Ok(selection) = source.select(&[], range) else {
        return;
    };
    let (mut buffer, mut newest) = (StreamBuffer::default(), NewestBuffer::default());
    for (stream_idx, stream) in selection.streams().iter().enumerate() {
        let read = selection.read(stream_idx, range, &mut buffer);
        assert!(
            read.is_err()
                || buffer
                    .timestamps_ms
                    .iter()
                    .all(|time_ms| range.contains(*time_ms))
        );
        let read = selection.read_newest(stream_idx, range, &mut newest);
        assert!(read.is_err() || newest.samples.len() == stream.n_lanes as usize);
    }
}

/// The pieces that stand in an input.
fn pieces(mut bytes: &[u8]) -> Option<[&[u8]; 4]> {
    let mut pieces = [&[][..]; 4];
    for piece in &mut pieces {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        (*piece, bytes) = rest.split_at_checked(length)?;
    }
    Some(pieces)
}

/// Makes lengths and checksums fit, as far as there is something that they can fit.
fn reseal(file: &mut [u8], summary: &mut FileSummary, n_columns: usize) {
    summary.n_bytes = file.len() as u64;
    if let Some(table) = &mut summary.page_table {
        let start = usize::try_from(table.offset).unwrap_or(usize::MAX);
        let directory = start.saturating_add(usize::try_from(table.sections_bytes).unwrap_or(usize::MAX));
        let end = directory.saturating_add(usize::try_from(table.directory_bytes).unwrap_or(usize::MAX));
        // It ends where something is not what it should be.
        let _resealed = reseal_directory(file, start, directory..end, n_columns);
        table.directory_crc32c = crc32c(file.get(directory..end).unwrap_or(&[]));
    }
    summary.crc32c = crc32c(file);
}

fn reseal_directory(file: &mut [u8], start: usize, directory: Range<usize>, n_columns: usize) -> Option<()> {
    let (mut at, mut section) = (directory.start, start);
    while at < directory.end {
        let n_pages = next(file, &mut at)?;
        next(file, &mut at)?;
        let end = section.checked_add(usize::try_from(next(file, &mut at)?).ok()?)?;
        let _resealed = reseal_section(file, section, n_pages, n_columns);
        let checksum = crc32c(file.get(section..end)?);
        put(file, &mut at, checksum)?;
        section = end;
    }
    Some(())
}

fn reseal_section(file: &mut [u8], mut at: usize, n_pages: u64, n_columns: usize) -> Option<()> {
    let mut offsets = Vec::new();
    for _ in 0..n_columns {
        offsets.push(next(file, &mut at)?.checked_sub(1));
    }
    for _ in 0..n_pages {
        for _ in 0..3 {
            next(file, &mut at)?;
        }
        for offset in offsets.iter_mut().flatten() {
            let end = offset.checked_add(next(file, &mut at)?)?;
            let page = usize::try_from(*offset).ok()?..usize::try_from(end).ok()?;
            let checksum = file.get(page).map(crc32c);
            put(file, &mut at, checksum.unwrap_or(0))?;
            *offset = end;
        }
    }
    Some(())
}

fn next(file: &[u8], at: &mut usize) -> Option<u64> {
    let bytes = file.get(*at..)?;
    let (value, rest) = varint::read_u64(bytes).ok()?;
    *at += bytes.len() - rest.len();
    Some(value)
}

fn put(file: &mut [u8], at: &mut usize, checksum: u32) -> Option<()> {
    let end = at.checked_add(4)?;
    file.get_mut(*at..end)?.copy_from_slice(&checksum.to_le_bytes());
    *at = end;
    Some(())
}

#[cfg(test)]
mod tests {
    use testkit::{Chance, keep_seeds, mutate};

    use super::super::testing::{Content, LaneSamples, WrittenBlock, labels, write};
    use super::*;

    /// Counters, sums, start timestamps and native histograms of every kind, on several pages.
    fn blocks() -> Vec<WrittenBlock> {
        let samples = |n: i64, value: fn(i64) -> f64, number: fn(i64) -> u8| -> LaneSamples {
            let sample = |t: i64| (value(t).to_bits(), t / 100, number(t));
            (0..n).map(|t| (1_000_000 + t * 1_000, sample(t))).collect()
        };
        let of = |base: &str, job: &str, samples: LaneSamples| {
            let key = (base.to_owned(), labels(&[("job", job)]));
            Content::from([(key, [(("", String::new()), samples)].into())])
        };
        let whole = |t: i64| t as f64;
        let broken = |t: i64| if t % 9 == 0 { f64::NAN } else { t as f64 * 0.37 };
        let mut large = of("a", "x", samples(1_200, whole, |_| 0));
        large.extend(of("a", "y", samples(1_200, broken, |_| 0)));
        large.extend(of("a", "z", samples(1_200, whole, |_| 0)));
        large.extend(of("b", "z", samples(40, whole, |_| 0)));
        let mixed = of("h", "x", samples(90, broken, |t| (t % 8) as u8));
        [large, mixed]
            .iter()
            .map(|content| write(content).unwrap())
            .collect()
    }

    fn input(block: &WrittenBlock) -> Vec<u8> {
        let manifest = serde_json::to_vec(&block.manifest).unwrap();
        let pieces = [&manifest, &block.samples, &block.series, &block.histograms];
        let framed = pieces.map(|piece| [&(piece.len() as u32).to_le_bytes(), &piece[..]].concat());
        framed.concat()
    }

    #[test]
    fn damaged_blocks_are_read_or_refused() {
        let setting = std::env::var("MESHTIDE_MUTATIONS").ok();
        let n_mutations: u64 = setting.map_or(300, |text| text.parse().unwrap());
        let blocks = blocks();
        keep_seeds("block", blocks.iter().map(input));
        for (idx, written) in (0..).zip(&blocks) {
            block(&input(written));
            for seed in 0..n_mutations {
                let mut chance = Chance::from_seed(seed << 8 | idx);
                let mut damaged = written.clone();
                match chance.below(4) {
                    0 => mutate(&mut damaged.histograms, &mut chance),
                    1 => {
                        let mut whole = input(&damaged);
                        mutate(&mut whole, &mut chance);
                        block(&whole);
                    }
                    _ => mutate(&mut damaged.samples, &mut chance),
                }
                block(&input(&damaged));
            }
        }
    }

    #[test]
    fn what_is_not_damaged_keeps_its_checksums() {
        for mut written in blocks() {
            let (samples, summary) = (written.samples.clone(), written.manifest.samples);
            reseal(
                &mut written.samples,
                &mut written.manifest.samples,
                SampleColumn::ALL.len(),
            );
            assert_eq!((written.samples, written.manifest.samples), (samples, summary));
            if let Some(summary) = &mut written.manifest.histograms {
                let (histograms, before) = (written.histograms.clone(), *summary);
                reseal(&mut written.histograms, summary, HistogramColumn::NOW.len());
                assert_eq!((written.histograms, *summary), (histograms, before));
            }
        }
    }
}
