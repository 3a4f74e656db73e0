//! Reads `Cache-Status` (RFC 9211): a list of caches, ours last, each with parameters.

/// The parameters of the last member as they are written: `hit`, `fwd=stale`, `ttl=-5`.
pub(crate) fn last_member(value: &str) -> Vec<String> {
    let member = split(value, ',').pop().unwrap_or_default();
    let mut parts = split(&member, ';').into_iter();
    parts.next();
    parts.collect()
}

/// Splits outside of quoted text.
fn split(text: &str, at: char) -> Vec<String> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for character in text.chars() {
        if character == at && !quoted {
            parts.push(String::new());
            continue;
        }
        match character {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

#[test]
fn the_last_member_is_ours() {
    let value = "edge; hit, \"a, b\"; fwd=stale; detail=\"x;y\"; ttl=-5";
    assert_eq!(
        last_member(value),
        ["fwd=stale", "detail=\"x;y\"", "ttl=-5"]
    );
}
