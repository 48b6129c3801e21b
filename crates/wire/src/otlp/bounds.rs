//! Upper bounds of explicit histograms, which are the same from point to point.
//!
//! A sender has few kinds of histograms, and one behind the other mostly is of the same kind. So the bounds of the last
//! point are kept with what follows from them; when the next point has the same bytes, nothing has to be done again.

use super::series::Part;
use crate::error::DecodeError;
use crate::protobuf::Reader;

/// The bounds of a point.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    values: Vec<f64>,
    /// By bound: what its series adds to the key of the point.
    marks: Vec<u128>,
    ascend: bool,
    /// Whether `marks` and `ascend` follow from `values`.
    is_derived: bool,
    /// The only packed field of which `values` were read; empty if that is not so.
    packed: Vec<u8>,
    /// Values that belong to the point being read. Until it has any, those of the last point stay.
    n_own: usize,
}

impl Bounds {
    /// Begins another point.
    pub(super) fn clear(&mut self) {
        self.n_own = 0;
    }

    /// Reads a packed field.
    ///
    /// # Errors
    /// A length that is none of floats.
    pub(super) fn read_packed(&mut self, field: Reader<'_>) -> Result<(), DecodeError> {
        let bytes = field.rest();
        if self.n_own == 0 && !bytes.is_empty() && bytes == self.packed {
            self.n_own = self.values.len();
            return Ok(());
        }
        let is_only = self.n_own == 0;
        for bits in field.fixed64s()? {
            self.push(f64::from_bits(bits));
        }
        if is_only {
            self.packed.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Adds a bound.
    pub(super) fn push(&mut self, bound: f64) {
        if self.n_own == 0 {
            self.values.clear();
        }
        self.packed.clear();
        self.is_derived = false;
        self.values.push(bound);
        self.n_own += 1;
    }

    /// Ends a histogram, which may have no bounds.
    pub(super) fn finish(&mut self) {
        if self.is_derived && self.n_own == self.values.len() {
            return;
        }
        self.values.truncate(self.n_own);
        if self.n_own == 0 {
            self.packed.clear();
        }
        self.marks.clear();
        let marks = self.values.iter().map(|bound| Part::Bucket(*bound).mark());
        self.marks.extend(marks);
        let ascend = self.values.windows(2).all(|pair| pair.first() < pair.last());
        self.ascend = ascend && self.values.iter().all(|bound| !bound.is_nan());
        self.is_derived = true;
    }

    /// The bounds.
    pub(super) fn values(&self) -> &[f64] {
        self.values.get(..self.n_own).unwrap_or_default()
    }

    /// Each bound with the mark of its series.
    pub(super) fn marked(&self) -> impl Iterator<Item = (f64, u128)> {
        self.values().iter().copied().zip(self.marks.iter().copied())
    }

    /// True when each is above the one before.
    pub(super) fn ascend(&self) -> bool {
        self.ascend
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The fields of a point: packed ones and single bounds.
    type Fields = Vec<Result<Vec<f64>, f64>>;

    fn read(bounds: &mut Bounds, fields: &Fields) {
        bounds.clear();
        for field in fields {
            match field {
                Ok(packed) => {
                    let bytes: Vec<u8> = packed.iter().flat_map(|bound| bound.to_le_bytes()).collect();
                    bounds.read_packed(Reader::new(&bytes, 0)).unwrap();
                }
                Err(bound) => bounds.push(*bound),
            }
        }
    }

    fn check(bounds: &Bounds, fields: &Fields) {
        let expected: Vec<f64> = fields
            .iter()
            .flat_map(|field| field.clone().unwrap_or_else(|bound| vec![bound]))
            .collect();
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(bounds.values()), bits(&expected));
        let marks = expected.iter().map(|bound| Part::Bucket(*bound).mark());
        assert!(bounds.marked().map(|(_, mark)| mark).eq(marks));
        let ascend =
            expected.is_sorted_by(|one, other| one < other) && !expected.iter().any(|one| one.is_nan());
        assert_eq!(bounds.ascend(), ascend);
    }

    #[test]
    fn broken_fields_leave_nothing_behind() {
        let mut bounds = Bounds::default();
        let whole: Fields = vec![Ok(vec![1.0, 2.0])];
        read(&mut bounds, &whole);
        bounds.finish();
        bounds.clear();
        assert!(bounds.read_packed(Reader::new(&[0; 12], 0)).is_err());
        read(&mut bounds, &whole);
        bounds.finish();
        check(&bounds, &whole);
    }

    proptest! {
        #[test]
        fn each_point_has_its_own_bounds(
            points in proptest::collection::vec(
                (
                    prop::sample::subsequence(
                        vec![
                            Ok(vec![1.0, 2.0]), Ok(vec![]), Ok(vec![3.0]), Err(1.0), Ok(vec![1.0, 2.0]), Err(f64::NAN),
                        ],
                        0..4,
                    ),
                    any::<bool>(),
                ),
                0..12,
            ),
        ) {
            let mut bounds = Bounds::default();
            for (fields, is_histogram) in points {
                // A point of another kind has none, and does not end them.
                let fields = if is_histogram { fields } else { Vec::new() };
                read(&mut bounds, &fields);
                if is_histogram {
                    bounds.finish();
                    check(&bounds, &fields);
                }
            }
        }
    }
}
