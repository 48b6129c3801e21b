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
        let populated = |bucket: &Bucket| bucket.count != 0.0;
        for bucket in self.negative_buckets().rev().filter(populated) {
            self.push_bucket(&mut text, bucket);
        }
        if let Some(zero) = self.zero_bucket().filter(populated) {
            push_bounded(&mut text, '[', zero, ']');
        }
        for bucket in self.positive_buckets().filter(populated) {
            self.push_bucket(&mut text, bucket);
        }
        text.push('}');
        f.write_str(&text)
    }
}

impl FloatHistogram {
    fn push_bucket(&self, text: &mut String, bucket: Bucket) {
        // Bounds belong to the bucket on the side away from zero; the first custom bucket includes both.
        let (lower_included, upper_included) = if self.is_custom() {
            (bucket.lower == f64::NEG_INFINITY, true)
        } else {
            (bucket.lower < 0.0, bucket.upper > 0.0)
        };
        let open = if lower_included { '[' } else { '(' };
        let close = if upper_included { ']' } else { ')' };
        push_bounded(text, open, bucket, close);
    }
}

fn push_bounded(text: &mut String, open: char, bucket: Bucket, close: char) {
    text.push_str(", ");
    text.push(open);
    push_exposition_float(text, bucket.lower);
    text.push(',');
    push_exposition_float(text, bucket.upper);
    text.push(close);
    text.push(':');
    push_exposition_float(text, bucket.count);
}
