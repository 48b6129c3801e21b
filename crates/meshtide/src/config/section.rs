//! Sections of the configuration: fields, their documentation and their defaults in one place.

/// Declares a section: a struct that serde reads, in which every field may be left out and no other may appear,
/// and that writes itself as a commented file of defaults.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $( $(#[doc = $field_doc:literal])+ $field:ident: $type:ty = $default:expr, )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $( $(#[doc = $field_doc])+ pub(crate) $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        #[cfg(test)]
        impl $crate::config::described::Described for $name {
            fn describe(&self, indent: usize, yaml: &mut String) {
                if indent > 0 {
                    yaml.push('\n');
                }
                $(
                    $crate::config::described::describe_field(
                        stringify!($field), &[$($field_doc),+], &self.$field, indent, yaml,
                    );
                )+
            }
        }
    };
}

pub(super) use section;
