//! Who sent something: the labels that every series of a resource gets.

use super::attributes::{Attribute, Attributes};
use super::names::{envoy_label_name, envoy_metric_name, has_metric_char};
use super::settings::Settings;
use crate::error::DecodeError;
use crate::protobuf::{Reader, WireType};

/// Attributes that become `job` and `instance` and so are no labels of `target_info`.
const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

/// How names are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// By the settings' strategy.
    Generic,
    /// As on Envoy's Prometheus page.
    Envoy,
}

/// A resource, and the scope whose metrics are being walked.
#[derive(Debug)]
pub(super) struct Resource<'a> {
    pub(super) profile: Profile,
    /// Its sender is an Envoy, whatever is done to names.
    pub(super) is_envoy: bool,
    attributes: Vec<u8>,
    settings: &'a Settings,
    /// Who is connected, where the resource does not say who it is.
    origin: &'a str,
}

/// Name and value of labels.
pub(super) type Pairs = Vec<(String, String)>;

impl<'a> Resource<'a> {
    /// Reads the resource of a `ResourceMetrics` message, wherever in it it stands.
    pub(super) fn read(
        mut message: Reader<'_>,
        settings: &'a Settings,
        origin: &'a str,
    ) -> Result<Self, DecodeError> {
        let mut attributes = Vec::new();
        while let Some((number, wire_type)) = message.field()? {
            match (number, wire_type) {
                (1, WireType::Bytes) => gather_attributes(message.message()?, 1, &mut attributes)?,
                _ => message.skip(wire_type)?,
            }
        }
        let sdk = Attributes(&attributes).text_of("telemetry.sdk.name", 0);
        let is_envoy = sdk.as_deref() == Some("envoy");
        Ok(Self {
            profile: if is_envoy && settings.envoy_profile {
                Profile::Envoy
            } else {
                Profile::Generic
            },
            is_envoy,
            attributes,
            settings,
            origin,
        })
    }

    /// What tells its series from those of other resources.
    pub(super) fn push_identity(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.attributes);
        if self.is_envoy {
            bytes.push(0);
            bytes.extend_from_slice(self.origin.as_bytes());
        }
    }

    /// The label of an attribute of a point.
    pub(super) fn label_name(&self, key: &[u8]) -> String {
        let key = String::from_utf8_lossy(key);
        match self.profile {
            Profile::Generic => self.settings.strategy.label_name(&key),
            Profile::Envoy => envoy_label_name(&key),
        }
    }

    /// The name of a metric; `None` when nothing of it is left.
    pub(super) fn metric_name(&self, name: &str, unit: &str, kind: super::names::NameKind) -> Option<String> {
        match self.profile {
            Profile::Generic => self.settings.strategy.metric_name(name, unit, kind),
            Profile::Envoy => envoy_metric_name(name),
        }
    }

    /// True when [`Self::metric_name`] gives one.
    pub(super) fn leaves_a_name(&self, name: &[u8]) -> bool {
        match self.profile {
            Profile::Generic => self.settings.strategy.leaves_a_name(name),
            Profile::Envoy => has_metric_char(name),
        }
    }

    /// `job` and `instance`, as far as they are known.
    pub(super) fn identity(&self) -> Pairs {
        let text = |key: &str| self.text(key).filter(|text| !text.is_empty());
        let job = match (text("service.namespace"), text("service.name")) {
            (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
            (None, name) => name,
            (Some(_), None) => None,
        };
        // Envoy says nothing about itself, so that all of a deployment's pods would write the same series.
        let connected = (self.is_envoy && !self.origin.is_empty()).then(|| self.origin.to_owned());
        let instance = text("service.instance.id").or(connected);
        let pairs = [("job", job), ("instance", instance)];
        let pairs = pairs.into_iter();
        pairs
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }

    /// Labels from the promoted attributes.
    pub(super) fn promoted(&self) -> Pairs {
        let mut pairs = Pairs::new();
        for (attribute, label) in &self.settings.promoted {
            if pairs.iter().all(|(name, _)| name != label)
                && let Some(value) = self.text(attribute)
            {
                pairs.push((label.clone(), value));
            }
        }
        if self.settings.promotes_all {
            complete_with(&mut pairs, self.others());
        }
        pairs
    }

    /// Labels from the attributes that are promoted with all others.
    fn others(&self) -> Pairs {
        let Settings {
            promoted,
            not_promoted,
            nesting_max,
            ..
        } = self.settings;
        let mut pairs = Pairs::new();
        for attribute in Attributes(&self.attributes).sorted_labels() {
            let is_key = |key: &String| key.as_bytes() == attribute.key;
            if not_promoted.iter().any(is_key) || promoted.iter().any(|(key, _)| is_key(key)) {
                continue;
            }
            let name = self.label_name(attribute.key);
            push_joined(&mut pairs, name, attribute.text(*nesting_max));
        }
        pairs
    }

    /// The labels of `target_info`, with the name; `None` when nobody could find it, or it would say nothing.
    pub(super) fn target_info(&self) -> Option<Pairs> {
        if !self.settings.target_info || self.profile == Profile::Envoy {
            return None;
        }
        let identity = self.identity();
        if identity.is_empty() {
            return None;
        }
        let is_identifying =
            |attribute: &Attribute<'_>| IDENTIFYING.iter().any(|key| key.as_bytes() == attribute.key);
        let facts = Attributes(&self.attributes).sorted_labels();
        if facts.iter().all(is_identifying) {
            return None;
        }
        let mut pairs = Pairs::new();
        for fact in facts {
            if is_identifying(&fact) && !self.settings.keeps_identifying {
                continue;
            }
            push_joined(
                &mut pairs,
                self.label_name(fact.key),
                fact.text(self.settings.nesting_max),
            );
        }
        override_with(&mut pairs, identity);
        pairs.push((model::METRIC_NAME.to_owned(), "target_info".to_owned()));
        Some(pairs)
    }

    fn text(&self, key: &str) -> Option<String> {
        Attributes(&self.attributes).text_of(key, self.settings.nesting_max)
    }
}

/// Adds a label; where it is there already, which two attributes of similar names can cause, the values are joined.
pub(super) fn push_joined(pairs: &mut Pairs, name: String, value: String) {
    match pairs.iter_mut().find(|pair| pair.0 == name) {
        Some((_, present)) => {
            present.push(';');
            present.push_str(&value);
        }
        None => pairs.push((name, value)),
    }
}

/// Sets labels, whatever they were.
pub(super) fn override_with(pairs: &mut Pairs, stronger: Pairs) {
    for (name, value) in stronger {
        pairs.retain(|pair| pair.0 != name);
        pairs.push((name, value));
    }
}

/// Adds labels that are not there.
pub(super) fn complete_with(pairs: &mut Pairs, weaker: Pairs) {
    for (name, value) in weaker {
        if pairs.iter().all(|pair| pair.0 != name) {
            pairs.push((name, value));
        }
    }
}

/// Appends the `KeyValue` messages in one field of `message`, each behind its length, after a look at each.
pub(super) fn gather_attributes(
    mut message: Reader<'_>,
    field: u32,
    bytes: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    while let Some((number, wire_type)) = message.field()? {
        if (number, wire_type) != (field, WireType::Bytes) {
            message.skip(wire_type)?;
            continue;
        }
        let before = message.rest();
        let attribute = message.message()?;
        Attribute::read(attribute)?;
        let n_bytes = before.len() - message.rest().len();
        bytes.extend_from_slice(before.get(..n_bytes).unwrap_or_default());
    }
    Ok(())
}
