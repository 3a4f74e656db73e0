//! The part of a configuration that only a restart changes, kept as written so that a reload can say
//! which of its keys are different now.

use serde_json::{Map, Value};

use super::file::File;

/// Keys that a reload takes over.
const RELOADED: [&str; 6] = [
    "routes",
    "upstreams",
    "tenants",
    "trusted_proxies",
    "peers",
    "certificate_authorities",
];

/// Top-level keys and values that hold until the process ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fixed(Map<String, Value>);

impl Fixed {
    pub(super) fn of(file: &File) -> Self {
        let Ok(Value::Object(mut keys)) = serde_json::to_value(file) else {
            return Self::default();
        };
        keys.retain(|key, _| !RELOADED.contains(&key.as_str()));
        Self(keys)
    }

    /// The keys whose value is another one in `new`.
    pub fn changed_in(&self, new: &Self) -> Vec<&str> {
        let changed = self
            .0
            .iter()
            .filter(|(key, value)| new.0.get(*key) != Some(value));
        changed.map(|(key, _)| key.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serving::config::Document;

    use super::Fixed;

    #[test]
    fn only_keys_that_need_a_restart_are_named() {
        let fixed = |rest: &str| {
            let text = format!(
                "region: ams3\nregions: [{{name: ams3}}]\nlisteners: []\nroutes: []\n{rest}"
            );
            Fixed::of(&Document::from_text("gateway.yaml", text).parse().unwrap())
        };
        let before = fixed("");
        assert_eq!(before.changed_in(&fixed("peers: [10.0.0.0/8]\n")), [""; 0]);
        assert_eq!(
            before.changed_in(&fixed("workers: 2\ndrain_timeout: 5s\n")),
            ["drain_timeout", "workers"]
        );
    }
}
