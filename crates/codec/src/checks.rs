//! What has to hold for any bytes whatsoever, as functions that panic when it does not.
//!
//! The fuzz target `page` calls them with what libFuzzer makes up, the tests of [`page`](crate::page) with damaged
//! pages. Nothing else uses them.
#![expect(clippy::expect_used, reason = "these panic on purpose")]

use std::ops::Range;

use crate::{ColumnReader, Error, PageReader, PageWriter, Presence};

/// How many columns of a page are looked at, so that a few bytes do not ask for gigabytes.
const COLUMNS_LOOKED_AT: usize = 16;

/// Bytes are a page or refused. What can be read of it can be read in part, and written and read again, bit for bit.
///
/// # Panics
/// When that does not hold.
pub fn page(bytes: &[u8]) {
    let Ok(page) = PageReader::open(bytes) else {
        return;
    };
    let mut timestamps_ms = Vec::new();
    if page.read_timestamps(&mut timestamps_ms).is_err() {
        return;
    }
    let n_columns = page.n_columns().min(COLUMNS_LOOKED_AT);
    let sound = (0..n_columns).filter_map(|column_idx| page.column(column_idx).ok());
    let columns: Vec<Rows> = sound
        .filter_map(|column| rows_of(&column, page.n_rows()))
        .collect();
    let mut writer = PageWriter::default();
    writer.begin(&timestamps_ms);
    for rows in &columns {
        let values: Vec<f64> = rows
            .iter()
            .map(|bits| f64::from_bits(bits.unwrap_or_default()))
            .collect();
        writer.push(&values, Presence::Rows(&presence_words(rows)));
    }
    let again = writer.finish();
    assert_eq!(read_whole(again), Ok((timestamps_ms, columns)));
}

/// Bits of the values by row, `None` where absent.
type Rows = Vec<Option<u64>>;

/// The rows of a column, if it is sound; checks that its second half alone is the same.
fn rows_of(column: &ColumnReader<'_>, n_rows: usize) -> Option<Rows> {
    let whole = decode(column, 0..n_rows).ok()?;
    let half = n_rows / 2;
    let second = decode(column, half..n_rows).expect("a part of what could be read");
    assert!(
        whole.iter().skip(half).eq(&second),
        "a part differs from the whole"
    );
    Some(whole)
}

fn decode(column: &ColumnReader<'_>, rows: Range<usize>) -> Result<Rows, Error> {
    let mut values = vec![0.0; rows.len()];
    let mut absent_rows = Vec::new();
    let may_be_nan = column.read(rows.clone(), &mut values, |row| absent_rows.push(row))?;
    assert!(absent_rows.is_sorted(), "absent rows ascend");
    let mut decoded: Rows = values.iter().map(|value| Some(value.to_bits())).collect();
    for row in absent_rows {
        *decoded.get_mut(row).expect("a row that was asked for") = None;
        assert!(
            !column.contains(rows.start + row),
            "an absent row is told to hold a value"
        );
    }
    let is_nan = |bits: &u64| f64::from_bits(*bits).is_nan();
    assert!(
        may_be_nan || !decoded.iter().flatten().any(is_nan),
        "a NaN that was not announced"
    );
    Ok(decoded)
}

fn presence_words(rows: &[Option<u64>]) -> Vec<u64> {
    let bits_of = |rows: &[Option<u64>]| {
        let bits = rows
            .iter()
            .enumerate()
            .map(|(row, bits)| u64::from(bits.is_some()) << row);
        bits.fold(0, |word, bit| word | bit)
    };
    rows.chunks(64).map(bits_of).collect()
}

fn read_whole(bytes: &[u8]) -> Result<(Vec<i64>, Vec<Rows>), Error> {
    let page = PageReader::open(bytes)?;
    let mut timestamps_ms = Vec::new();
    page.read_timestamps(&mut timestamps_ms)?;
    let column = |column_idx| decode(&page.column(column_idx)?, 0..page.n_rows());
    let columns = (0..page.n_columns()).map(column).collect::<Result<_, _>>()?;
    Ok((timestamps_ms, columns))
}
