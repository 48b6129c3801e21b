//! The values of one column of a page.
//!
//! ```text
//! nothing at all                when no row holds a value; otherwise
//! tag: one byte                 bits 0-1: scale (0 whole numbers, 1 decimals, 2 float bits)
//!                               bit 2: all values are equal; bit 3: some rows are absent; bit 4: there are patches
//! scale parameter: one byte     exponent of decimals, shift of float bits; not for whole numbers
//! bitmap of the rows            one bit per row, if some are absent
//! patches, if there are any     varint number; each: varint position among the present values, eight bytes of bits
//! integers of present values    see `deltas`; only the first one if all are equal
//! ```

use std::ops::Range;

use crate::Error;
use crate::deltas;
use crate::presence::{self, Bitmap, Presence};
use crate::scale::{self, Scale, Scaled};
use crate::varint;

const SCALE_MASK: u8 = 0b11;
const SCALE_WHOLE: u8 = 0;
const SCALE_DECIMAL: u8 = 1;
const SCALE_BITS: u8 = 2;
const CONSTANT: u8 = 1 << 2;
const SOME_ABSENT: u8 = 1 << 3;
const PATCHED: u8 = 1 << 4;
const TAG_MAX: u8 = (1 << 5) - 1;

/// Encodes columns, one after the other; keeps its allocations.
#[derive(Debug, Default)]
pub(crate) struct ColumnEncoder {
    scaled: Scaled,
    dense: Vec<f64>,
}

impl ColumnEncoder {
    /// Appends a column of `values`, one per row; those in absent rows do not matter.
    pub(crate) fn encode(&mut self, values: &[f64], presence: Presence<'_>, bytes: &mut Vec<u8>) {
        let n_present = presence.count(values.len());
        if n_present == 0 {
            return;
        }
        if n_present == values.len() {
            encode_present(&mut self.scaled, values, None, bytes);
            return;
        }
        self.dense.clear();
        let present = values
            .iter()
            .enumerate()
            .filter(|(row, _)| presence.contains(*row));
        self.dense.extend(present.map(|(_, value)| value));
        encode_present(
            &mut self.scaled,
            &self.dense,
            Some((presence, values.len())),
            bytes,
        );
    }
}

/// `bitmap` is the presence and the number of rows, when not all rows are present.
fn encode_present(
    scaled: &mut Scaled,
    values: &[f64],
    bitmap: Option<(Presence<'_>, usize)>,
    bytes: &mut Vec<u8>,
) {
    let first = values.first().copied().unwrap_or_default().to_bits();
    let is_constant = values.iter().all(|value| value.to_bits() == first);
    let n_encoded = if is_constant { 1 } else { values.len() };
    let scale = scaled.fill(values.get(..n_encoded).unwrap_or_default());
    let (scale_tag, parameter) = match scale {
        Scale::Whole => (SCALE_WHOLE, None),
        Scale::Decimal { exponent } => (SCALE_DECIMAL, Some(exponent)),
        Scale::Bits { shift } => (SCALE_BITS, Some(shift)),
    };
    let flag = |condition: bool, flag: u8| if condition { flag } else { 0 };
    let is_patched = !scaled.patches.is_empty();
    bytes.push(
        scale_tag
            | flag(is_constant, CONSTANT)
            | flag(bitmap.is_some(), SOME_ABSENT)
            | flag(is_patched, PATCHED),
    );
    bytes.extend(parameter);
    if let Some((presence, n_rows)) = bitmap {
        presence::push_bitmap(presence, n_rows, bytes);
    }
    if is_patched {
        varint::push_u64(bytes, scaled.patches.len() as u64);
        for (position, bits) in &scaled.patches {
            varint::push_u64(bytes, *position as u64);
            bytes.extend_from_slice(&bits.to_le_bytes());
        }
    }
    deltas::encode(&scaled.integers, bytes);
}

/// One column of a page, ready to be read.
#[derive(Debug, Clone, Copy)]
pub struct ColumnReader<'a> {
    n_rows: usize,
    content: Option<Content<'a>>,
}

/// A column with at least one value.
#[derive(Debug, Clone, Copy)]
struct Content<'a> {
    scale: Scale,
    is_constant: bool,
    bitmap: Option<Bitmap<'a>>,
    n_patches: usize,
    patches: &'a [u8],
    integers: &'a [u8],
}

impl<'a> ColumnReader<'a> {
    /// A column without a value in any of its rows.
    #[must_use]
    pub fn absent(n_rows: usize) -> Self {
        Self {
            n_rows,
            content: None,
        }
    }

    /// The column at the front of `bytes`, which may go on behind it.
    #[inline]
    pub(crate) fn open(bytes: &'a [u8], n_rows: usize) -> Result<Self, Error> {
        let (tag, rest) = take_byte(bytes)?;
        if tag > TAG_MAX {
            return Err(Error::Invalid { what: "column tag" });
        }
        let (scale, rest) = read_scale(tag, rest)?;
        let (bitmap, rest) = if tag & SOME_ABSENT == 0 {
            (None, rest)
        } else {
            let (bytes, rest) = take(rest, n_rows.div_ceil(8), "a row bitmap")?;
            (Some(Bitmap { bytes }), rest)
        };
        let (n_patches, patches) = match tag & PATCHED {
            0 => (0, rest),
            _ => varint::read_count(rest, n_rows, "number of patches")?,
        };
        let mut integers = patches;
        for _ in 0..n_patches {
            integers = read_patch(integers)?.1;
        }
        let is_constant = tag & CONSTANT != 0;
        Ok(Self {
            n_rows,
            content: Some(Content {
                scale,
                is_constant,
                bitmap,
                n_patches,
                patches,
                integers,
            }),
        })
    }

    /// True when no row holds a value.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.content.is_none()
    }

    /// True when row `row` holds a value.
    #[must_use]
    pub fn contains(&self, row: usize) -> bool {
        row < self.n_rows
            && self
                .content
                .is_some_and(|content| content.bitmap.is_none_or(|bitmap| bitmap.contains(row)))
    }

    /// Decodes the values of `rows` into `values`, which has one place per row. Rows without a value are told to
    /// `absent`, ascending, counted from the first of `rows`; what then stands in their place is undefined.
    /// Returns whether a value may be a NaN of any kind.
    ///
    /// Costs as much as decoding from the first row of the page.
    ///
    /// # Errors
    /// Damaged bytes; `values` is then undefined.
    ///
    /// # Panics
    /// If `rows` is not within the page, or `values` has another length.
    pub fn read(
        &self,
        rows: Range<usize>,
        values: &mut [f64],
        mut absent: impl FnMut(usize),
    ) -> Result<bool, Error> {
        assert!(
            rows.end <= self.n_rows && rows.len() == values.len(),
            "{} places for rows {rows:?} of {}",
            values.len(),
            self.n_rows
        );
        match &self.content {
            None => {
                (0..values.len()).for_each(absent);
                Ok(false)
            }
            Some(content @ Content { bitmap: None, .. }) => content.read_present(self.n_rows, rows, values),
            Some(
                content @ Content {
                    bitmap: Some(bitmap), ..
                },
            ) => {
                let present = bitmap.rank(rows.start)..bitmap.rank(rows.end);
                let dense = values.get_mut(..present.len()).unwrap_or_default();
                let may_be_nan = content.read_present(bitmap.rank(self.n_rows), present, dense)?;
                spread(bitmap, rows.clone(), values);
                rows.clone()
                    .filter(|row| !bitmap.contains(*row))
                    .for_each(|row| absent(row - rows.start));
                Ok(may_be_nan)
            }
        }
    }
}

impl Content<'_> {
    /// As [`ColumnReader::read`], by position among the `n_present` present values.
    fn read_present(
        &self,
        n_present: usize,
        wanted: Range<usize>,
        values: &mut [f64],
    ) -> Result<bool, Error> {
        let mut may_be_nan = false;
        match self.scale {
            Scale::Whole => self.read_scaled(n_present, &wanted, values, scale::whole)?,
            Scale::Decimal { exponent } => {
                let divisor = scale::divisor(exponent).ok_or(Error::Invalid { what: "exponent" })?;
                self.read_scaled(n_present, &wanted, values, |integer| {
                    scale::whole(integer) / divisor
                })?;
            }
            Scale::Bits { shift } => {
                self.read_scaled(n_present, &wanted, values, |integer| {
                    f64::from_bits(integer << shift)
                })?;
                may_be_nan = values.iter().fold(false, |any, value| any | value.is_nan());
            }
        }
        let mut patches = self.patches;
        for _ in 0..self.n_patches {
            let ((position, bits), rest) = read_patch(patches)?;
            patches = rest;
            let place = position
                .checked_sub(wanted.start)
                .and_then(|place| values.get_mut(place));
            if let Some(value) = place {
                *value = f64::from_bits(bits);
                may_be_nan |= value.is_nan();
            }
        }
        Ok(may_be_nan)
    }

    /// Decodes the integers and maps them, without the patches.
    #[inline]
    fn read_scaled(
        &self,
        n_present: usize,
        wanted: &Range<usize>,
        values: &mut [f64],
        scale: impl Fn(u64) -> f64,
    ) -> Result<(), Error> {
        if self.is_constant {
            let (integer, _) = varint::read_i64(self.integers)?;
            values.fill(scale(integer.cast_unsigned()));
            return Ok(());
        }
        deltas::decode(self.integers, n_present, wanted, values, scale)
    }
}

/// Moves the values from the front of `values` to the rows that hold one, the last one first.
fn spread(bitmap: &Bitmap<'_>, rows: Range<usize>, values: &mut [f64]) {
    let mut n_left = bitmap.rank(rows.end) - bitmap.rank(rows.start);
    for row in rows.clone().rev().filter(|row| bitmap.contains(*row)) {
        n_left -= 1;
        if row - rows.start == n_left {
            break;
        }
        values.swap(row - rows.start, n_left);
    }
}

#[inline]
fn read_scale(tag: u8, bytes: &[u8]) -> Result<(Scale, &[u8]), Error> {
    match tag & SCALE_MASK {
        SCALE_WHOLE => Ok((Scale::Whole, bytes)),
        SCALE_DECIMAL => {
            let (exponent, rest) = take_byte(bytes)?;
            Ok((Scale::Decimal { exponent }, rest))
        }
        SCALE_BITS => match take_byte(bytes)? {
            (shift @ 0..64, rest) => Ok((Scale::Bits { shift }, rest)),
            _ => Err(Error::Invalid { what: "shift" }),
        },
        _ => Err(Error::Invalid { what: "scale" }),
    }
}

fn read_patch(bytes: &[u8]) -> Result<((usize, u64), &[u8]), Error> {
    let (position, rest) = varint::read_count(bytes, crate::page::ROWS_MAX, "position of a patch")?;
    let Some((bits, rest)) = rest.split_first_chunk() else {
        return Err(Error::Truncated { within: "a patch" });
    };
    Ok(((position, u64::from_le_bytes(*bits)), rest))
}

#[inline]
fn take_byte(bytes: &[u8]) -> Result<(u8, &[u8]), Error> {
    let (byte, rest) = bytes
        .split_first()
        .ok_or(Error::Truncated { within: "a column" })?;
    Ok((*byte, rest))
}

fn take<'a>(bytes: &'a [u8], n_bytes: usize, within: &'static str) -> Result<(&'a [u8], &'a [u8]), Error> {
    bytes.split_at_checked(n_bytes).ok_or(Error::Truncated { within })
}
