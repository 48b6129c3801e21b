//! Which bounds the buckets of a native histogram have.

/// One of the valid schemas: exponential −4 to 8, or custom. The default is 0, where bounds are powers of two.
///
/// Ordered by number, so that of two exponential schemas the smaller one has the wider buckets; custom is below all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Schema(i8);

impl Schema {
    /// Custom buckets: the number −53.
    pub const CUSTOM: Self = Self(-53);
    /// Exponential buckets of the lowest resolution.
    pub const LOWEST: Self = Self(-4);
    /// Exponential buckets of the highest resolution.
    pub const HIGHEST: Self = Self(8);

    /// Above the valid ones up to this number, exponential schemas are known and can be brought down to
    /// [`Self::HIGHEST`].
    pub(super) const RESERVED_MAX: i32 = 52;

    /// The schema of that number; `None` if it is not valid.
    #[must_use]
    pub fn new(number: i32) -> Option<Self> {
        let schema = Self(i8::try_from(number).ok()?);
        (schema.is_custom() || (Self::LOWEST..=Self::HIGHEST).contains(&schema)).then_some(schema)
    }

    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// True for custom buckets.
    #[inline]
    #[must_use]
    pub fn is_custom(self) -> bool {
        self == Self::CUSTOM
    }

    /// How often the number of buckets has to be halved to come to `target`; `None` unless both are exponential and
    /// `target` is the lower one.
    #[must_use]
    pub fn halvings_to(self, target: Self) -> Option<u32> {
        if self.is_custom() || target.is_custom() || target >= self {
            return None;
        }
        u32::try_from(self.number() - target.number()).ok()
    }
}
