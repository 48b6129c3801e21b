//! Writing settings as a commented YAML file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use super::value::{Bytes, Delta, HaPair, Listen, Span, Strategy, WalSync};

/// Something with a place in the file.
pub(super) trait Described {
    /// Appends what stands behind `name:` in a file of defaults, the line end included. Fields of a section are
    /// indented by `indent` blanks.
    fn describe(&self, indent: usize, yaml: &mut String);
}

/// Appends one field with its documentation as comments.
pub(super) fn describe_field(
    name: &str,
    doc: &[&str],
    value: &dyn Described,
    indent: usize,
    yaml: &mut String,
) {
    let margin = " ".repeat(indent);
    if indent == 0 {
        yaml.push('\n');
    }
    for line in doc {
        writeln!(yaml, "{margin}#{line}").expect("writing to a String cannot fail");
    }
    write!(yaml, "{margin}{name}:").expect("writing to a String cannot fail");
    value.describe(indent + 2, yaml);
}

macro_rules! described_by_display {
    ($($type:ty),+) => {
        $(impl Described for $type {
            fn describe(&self, _: usize, yaml: &mut String) {
                yaml.push_str(&format!(" {self}\n"));
            }
        })+
    };
}

described_by_display!(Span, Bytes, Listen, Strategy, SocketAddr, bool, usize, u16, u64);

impl Described for WalSync {
    fn describe(&self, _: usize, yaml: &mut String) {
        yaml.push_str(match self {
            Self::Always => " always\n",
            Self::Interval => " interval\n",
        });
    }
}

impl Described for Vec<HaPair> {
    fn describe(&self, indent: usize, yaml: &mut String) {
        let margin = " ".repeat(indent);
        for HaPair { group, replica } in self {
            yaml.push_str(&format!(
                "\n{margin}- {{group: [{}], replica: {replica}}}",
                group.join(", ")
            ));
        }
        yaml.push('\n');
    }
}

impl Described for Delta {
    fn describe(&self, _: usize, yaml: &mut String) {
        yaml.push_str(match self {
            Self::Reject => " reject\n",
            Self::Convert => " convert\n",
        });
    }
}

impl Described for BTreeMap<String, String> {
    fn describe(&self, indent: usize, yaml: &mut String) {
        yaml.push_str(if self.is_empty() { " {}\n" } else { "\n" });
        for (name, value) in self {
            yaml.push_str(&format!("{}{name}: {value}\n", " ".repeat(indent)));
        }
    }
}

/// Only the empty list has a place in a file of defaults.
impl Described for Vec<String> {
    fn describe(&self, _: usize, yaml: &mut String) {
        debug_assert!(self.is_empty(), "a default of entries needs a way to be written");
        yaml.push_str(" []\n");
    }
}
