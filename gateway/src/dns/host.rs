//! A name from the wire as hosts are written, for those who know nothing of DNS.

use arrayvec::ArrayString;

/// A name in wire format as hosts are written, without the final dot. A byte that no host has becomes `?`.
pub(super) fn host_of(name: &[u8]) -> ArrayString<255> {
    let mut text = ArrayString::new();
    let mut rest = name;
    while let Some((&length, after)) = rest.split_first() {
        let Some((label, next)) = after.split_at_checked(usize::from(length)) else {
            break;
        };
        if label.is_empty() {
            break;
        }
        if !text.is_empty() {
            let _ = text.try_push('.');
        }
        for byte in label {
            let byte = if byte.is_ascii_graphic() {
                char::from(*byte)
            } else {
                '?'
            };
            let _ = text.try_push(byte);
        }
        rest = next;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn a_name_becomes_a_host() {
        for (name, host) in [
            (&b"\x04edge\x04test\0"[..], "edge.test"),
            (b"\0", ""),
            (b"\x02a\x00\x01b\0", "a?.b"),
            (b"\x09short", ""),
        ] {
            assert_eq!(&*host_of(name), host);
        }
    }
}
