use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::checks;

const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Rows of one column: bits of the values, `None` where absent.
type Rows = Vec<Option<u64>>;

fn encode(timestamps_ms: &[i64], columns: &[Rows]) -> Vec<u8> {
    let mut writer = PageWriter::default();
    writer.begin(timestamps_ms);
    for rows in columns {
        let values: Vec<f64> = rows
            .iter()
            .map(|bits| f64::from_bits(bits.unwrap_or(0xdead)))
            .collect();
        let words = presence_words(rows);
        let presence = if rows.contains(&None) {
            Presence::Rows(&words)
        } else {
            Presence::All
        };
        writer.push(&values, presence);
    }
    writer.finish().to_vec()
}

fn presence_words(rows: &[Option<u64>]) -> Vec<u64> {
    let mut words = vec![0; rows.len().div_ceil(64)];
    for row in (0..rows.len()).filter(|row| rows[*row].is_some()) {
        words[row / 64] |= 1 << (row % 64);
    }
    words
}

fn decode(column: ColumnReader<'_>, rows: Range<usize>) -> Result<(Rows, bool), Error> {
    let mut values = vec![0.5; rows.len()];
    let mut absent_rows = Vec::new();
    let may_be_nan = column.read(rows.clone(), &mut values, |row| absent_rows.push(row))?;
    let mut decoded: Rows = values.iter().map(|value| Some(value.to_bits())).collect();
    for row in absent_rows {
        decoded[row] = None;
    }
    Ok((decoded, may_be_nan))
}

#[test]
fn an_idle_lane_costs_a_few_bytes_per_page() {
    let timestamps_ms: Vec<i64> = (0..256).map(|row| 1_700_000_000_000 + row * 15_000).collect();
    let idle = vec![Some(1234.0_f64.to_bits()); 256];
    let n_bytes = |n_columns| encode(&timestamps_ms, &vec![idle.clone(); n_columns]).len();
    assert_eq!(n_bytes(20) - n_bytes(19), 4);
    assert!(n_bytes(1) < 40);
    let zero = vec![Some(0); 256];
    assert_eq!(
        encode(&timestamps_ms, &[idle.clone(), zero]).len() - n_bytes(1),
        3
    );
    let absent = vec![None; 256];
    assert_eq!(
        encode(&timestamps_ms, &[idle.clone(), absent]).len() - n_bytes(1),
        1
    );
}

#[test]
fn whole_numbers_cannot_be_nan_and_patches_can() {
    let bits = |values: &[f64]| values.iter().map(|value| Some(value.to_bits())).collect::<Rows>();
    let mut stale = bits(&[1.0, 2.0, 3.0, 4.0]);
    stale[3] = Some(STALE_BITS);
    let columns = [
        bits(&[1.0, 2.0, 3.0, 5.0]),
        bits(&[0.1, 0.2, 0.4, 0.8]),
        stale.clone(),
    ];
    let bytes = encode(&[1, 2, 3, 4], &columns);
    let page = PageReader::open(&bytes).unwrap();
    let read = |column_idx, rows| decode(page.column(column_idx).unwrap(), rows).unwrap();
    assert!(!read(0, 0..4).1 && !read(1, 0..4).1);
    assert_eq!(read(2, 0..4), (stale.clone(), true));
    assert_eq!(read(2, 0..3), (stale[..3].to_vec(), false));
}

#[test]
fn a_column_the_page_does_not_have_has_no_values() {
    let bytes = encode(&[1, 2], &[]);
    let page = PageReader::open(&bytes).unwrap();
    assert!(page.column(0).unwrap().is_absent());
    assert_eq!(
        decode(page.column(7).unwrap(), 0..2),
        Ok((vec![None, None], false))
    );
    assert!(!page.column(0).unwrap().contains(0));
}

#[test]
fn wide_offsets_reach_far_columns() {
    let noisy = |seed: u64| {
        let bits = (0..256).map(|row| (seed + row).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bits = bits.map(|bits: u64| bits.rotate_left(31).wrapping_mul(bits));
        bits.map(Some).collect()
    };
    let columns: Vec<Rows> = (0..64).map(|column| noisy(column * 1000)).collect();
    let timestamps_ms: Vec<i64> = (0..256).collect();
    let bytes = encode(&timestamps_ms, &columns);
    assert!(bytes.len() > 0x1_0000);
    let page = PageReader::open(&bytes).unwrap();
    assert_eq!(decode(page.column(63).unwrap(), 0..256).unwrap().0, columns[63]);
}

#[test]
fn pages_of_every_encoding_are_seeds_of_fuzzing() {
    let bits = |values: &[f64]| values.iter().map(|value| Some(value.to_bits())).collect::<Rows>();
    let timestamps_ms = [0, 15_000, 30_000, 45_001, 60_000, 1_795_238_213_618];
    let columns = [
        bits(&[7.0; 6]),
        bits(&[0.0, 15.0, 30.0, 45.0, 60.0, 75.0]),
        bits(&[0.1, 0.2, 0.4, 12.5, 0.8, 0.3]),
        bits(&[1e-300, f64::MAX, -0.0, f64::INFINITY, f64::NAN, 5e-324]),
        vec![Some(1), None, Some(STALE_BITS), None, None, Some(STALE_BITS)],
        vec![None; 6],
    ];
    let pages = [encode(&timestamps_ms, &columns), encode(&[1], &columns[..0])];
    testkit::keep_seeds("page", &pages);
    for page in pages {
        checks::page(&page);
    }
}

fn any_bits() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0_u32..1000).prop_map(|value| f64::from(value).to_bits()),
        2 => (0_i32..100_000).prop_map(|value| (f64::from(value) / 100.0).to_bits()),
        2 => any::<u64>(),
        1 => Just(STALE_BITS),
        1 => prop::sample::select(vec![
            (-0.0_f64).to_bits(), f64::INFINITY.to_bits(), f64::NEG_INFINITY.to_bits(), f64::NAN.to_bits(),
            f64::MAX.to_bits(), 1, 2_f64.powi(53).to_bits(), (-2_f64).powi(63).to_bits(), 0xfff8_0000_dead_beef,
        ]),
    ]
}

/// A column of one kind of values, so that every encoding is met.
fn any_rows(n_rows: usize) -> impl Strategy<Value = Rows> {
    let present = prop_oneof![
        2 => any_bits().prop_map(move |bits| vec![bits; n_rows]),
        3 => prop::collection::vec(0_u32..5, n_rows).prop_map(|steps| {
            steps.iter().scan(0, |sum, step| { *sum += step; Some(f64::from(*sum).to_bits()) }).collect::<Vec<u64>>()
        }),
        2 => prop::collection::vec(any::<u64>(), n_rows),
        3 => prop::collection::vec(any_bits(), n_rows),
    ];
    let presence = prop_oneof![
        2 => Just(vec![true; n_rows]),
        1 => Just(vec![false; n_rows]),
        2 => prop::collection::vec(any::<bool>(), n_rows),
        1 => prop::collection::vec(prop::bool::weighted(0.95), n_rows),
    ];
    (present, presence).prop_map(|(bits, presence)| {
        bits.iter()
            .zip(presence)
            .map(|(bits, is_present)| is_present.then_some(*bits))
            .collect()
    })
}

fn any_page() -> impl Strategy<Value = (Vec<i64>, Vec<Rows>)> {
    (0_usize..200).prop_flat_map(|n_rows| {
        (
            prop::collection::vec(any::<i64>(), n_rows),
            prop::collection::vec(any_rows(n_rows), 0..6),
        )
    })
}

proptest! {
    #[test]
    fn every_page_comes_back_bit_for_bit((timestamps_ms, columns) in any_page(), from in 0_usize..200, to in 0_usize..200) {
        let bytes = encode(&timestamps_ms, &columns);
        let page = PageReader::open(&bytes).unwrap();
        let mut got = Vec::new();
        page.read_timestamps(&mut got).unwrap();
        prop_assert_eq!(&got, &timestamps_ms);
        prop_assert_eq!(page.n_columns(), columns.len());
        let n_rows = timestamps_ms.len();
        let part = from.min(to).min(n_rows)..to.max(from).min(n_rows);
        for (column_idx, rows) in columns.iter().enumerate() {
            let column = page.column(column_idx).unwrap();
            prop_assert_eq!(&decode(column, 0..n_rows).unwrap().0, rows);
            let (decoded, may_be_nan) = decode(column, part.clone()).unwrap();
            prop_assert_eq!(&decoded, &rows[part.clone()]);
            prop_assert!(may_be_nan || !decoded.iter().flatten().any(|bits| f64::from_bits(*bits).is_nan()));
            for (row, bits) in rows.iter().enumerate() {
                prop_assert_eq!(column.contains(row), bits.is_some());
            }
        }
    }

    #[test]
    fn damaged_pages_are_read_or_refused(
        (timestamps_ms, columns) in any_page(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&timestamps_ms, &columns);
        for (position, byte) in damage {
            *position.get_mut(&mut bytes) = byte;
        }
        checks::page(&bytes);
        checks::page(&bytes[..cut.index(bytes.len() + 1)]);
    }

    #[test]
    fn any_bytes_are_a_page_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        checks::page(&bytes);
    }
}
