//! A histogram as text.

use std::fmt;

use super::{Bucket, FloatHistogram};
use crate::number::push_exposition_float;

/// As Prometheus prints it, for example in the labels `count_values` makes:
/// `{count:3, sum:4.5, [-2,-1):1, [-0.001,0.001]:1, (0.5,1]:1}`, buckets in order of values, empty ones left out.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = "{count:".to_owned();
        push_exposition_float(&mut text, self.count);
        text.push_str(", sum:");
        push_exposition_float(&mut text, self.sum);
        let below = self.negative_buckets().rev();
        for bucket in below.chain(self.zero_bucket()).chain(self.positive_buckets()) {
            if bucket.count != 0.0 {
                text.push_str(", ");
                push_bucket(&mut text, bucket);
            }
        }
        text.push('}');
        f.write_str(&text)
    }
}

/// In the notation of intervals: a square bracket where the bound is included.
fn push_bucket(text: &mut String, bucket: Bucket) {
    text.push(if bucket.includes_lower { '[' } else { '(' });
    push_exposition_float(text, bucket.lower);
    text.push(',');
    push_exposition_float(text, bucket.upper);
    text.push_str(if bucket.includes_upper { "]:" } else { "):" });
    push_exposition_float(text, bucket.count);
}
