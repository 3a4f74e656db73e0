//! Where a key path stands in a YAML text: the whole document is read once more as a tree whose every
//! value knows its line. Only runs when there is an error to report.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

enum Node {
    Map(Vec<(String, Spanned<Node>)>),
    Seq(Vec<Spanned<Node>>),
    Scalar,
}

/// Line, counted from 1, of the deepest part of `key` that exists in the text.
pub(super) fn line_of(text: &str, key: &str) -> Option<u64> {
    let root: Spanned<Node> = serde_saphyr::from_str(text).ok()?;
    let mut here = &root;
    for segment in segments(key) {
        let next = match &here.value {
            Node::Map(entries) => entries
                .iter()
                .find(|(name, _)| name == segment)
                .map(|(_, value)| value),
            Node::Seq(values) => segment
                .parse::<usize>()
                .ok()
                .and_then(|index| values.get(index)),
            Node::Scalar => None,
        };
        match next {
            Some(next) => here = next,
            None => break,
        }
    }
    Some(here.defined.line()).filter(|line| *line > 0)
}

/// `regions[1].name` → `regions`, `1`, `name`.
fn segments(key: &str) -> impl Iterator<Item = &str> {
    key.split(['.', '[', ']'])
        .filter(|segment| !segment.is_empty())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

macro_rules! scalar {
    ($($visit:ident: $type:ty),*) => {$(
        fn $visit<E>(self, _: $type) -> Result<Node, E> {
            Ok(Node::Scalar)
        }
    )*};
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalar!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str, visit_i128: i128, visit_u128: u128);

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Node::Seq(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = access.next_key::<ScalarKey>()? {
            match name.0 {
                Some(name) => entries.push((name, access.next_value()?)),
                None => drop(access.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Node::Map(entries))
    }
}

/// Keys that are not text cannot be part of a key path of ours.
struct ScalarKey(Option<String>);

impl<'de> Deserialize<'de> for ScalarKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|key| Self(Some(key)))
    }
}
