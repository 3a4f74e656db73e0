//! Record data from the presentation format of zone files, such as `10 mail.example.com.`.

use bytes::Bytes;
use domain::base::iana::Rtype;
use domain::base::name::Name;
use domain::base::rdata::ComposeRecordData as _;
use domain::zonefile::inplace::{Entry, Zonefile};

/// Types that a configuration may have; the rest is made by us or not supported.
const TYPES: [Rtype; 10] = [
    Rtype::A,
    Rtype::AAAA,
    Rtype::CAA,
    Rtype::CNAME,
    Rtype::HTTPS,
    Rtype::MX,
    Rtype::NS,
    Rtype::SRV,
    Rtype::SVCB,
    Rtype::TXT,
];

/// Why a record cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The type is unknown or not supported.
    #[error("{0:?} is none of A, AAAA, CAA, CNAME, HTTPS, MX, NS, SRV, SVCB, TXT")]
    Type(String),
    /// The value is not what a zone file would have.
    #[error("{value:?} is no data of a {rtype} record: {reason}")]
    Value {
        /// The type.
        rtype: String,
        /// What is written.
        value: String,
        /// The reason.
        reason: String,
    },
}

/// The type of a name such as `HTTPS`, and `value` in wire format. Names in it that do not end in a dot are
/// relative to `origin`.
pub fn record_data(
    origin: &[u8],
    rtype: &str,
    value: &str,
) -> Result<(Rtype, Box<[u8]>), RecordError> {
    let known = TYPES.into_iter().find(|known| known.to_string() == rtype);
    let known = known.ok_or_else(|| RecordError::Type(rtype.to_owned()))?;
    let wrong = |reason: String| RecordError::Value {
        rtype: rtype.to_owned(),
        value: value.to_owned(),
        reason,
    };
    if value.contains(['\n', '\r']) {
        return Err(wrong("it has several lines".into()));
    }
    let origin =
        Name::from_octets(Bytes::copy_from_slice(origin)).map_err(|e| wrong(e.to_string()))?;
    if value.contains("..") && !matches!(known, Rtype::TXT | Rtype::CAA) {
        return Err(wrong("a label is empty".into()));
    }
    // The reader knows the zone itself as an owner only, not in data.
    let zone = origin.fmt_with_dot().to_string();
    let has_names = !matches!(known, Rtype::TXT | Rtype::CAA);
    let words: Vec<&str> = (value.split(' '))
        .map(|word| {
            if word == "@" && has_names {
                &zone
            } else {
                word
            }
        })
        .collect();
    let text = format!("@ 0 IN {rtype} {}\n", words.join(" "));
    let mut file = Zonefile::from(text.as_str());
    file.set_origin(origin);
    let record = match file.next_entry() {
        Ok(Some(Entry::Record(record))) if record.rtype() == known => record,
        Ok(_) => return Err(wrong("it is something else".into())),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mut data = Vec::new();
    // Appending to a vector cannot fail.
    let Ok(()) = record.data().compose_rdata(&mut data);
    if known == Rtype::CNAME {
        data.make_ascii_lowercase(); // so that its target is found in a zone
    }
    Ok((known, data.into()))
}

#[cfg(test)]
mod tests {
    use super::record_data;

    #[test]
    fn every_type_is_read_as_in_a_zone_file() {
        let origin = b"\x04edge\x04test\x00";
        let cases: [(&str, &str, &[u8]); 9] = [
            ("A", "192.0.2.1", &[192, 0, 2, 1]),
            (
                "AAAA",
                "2001:db8::1",
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            ),
            ("CNAME", "Www", b"\x03www\x04edge\x04test\x00"),
            ("CNAME", "@", b"\x04edge\x04test\x00"),
            ("NS", "ns1.example.", b"\x03ns1\x07example\x00"),
            ("MX", "10 mail", b"\x00\x0a\x04mail\x04edge\x04test\x00"),
            ("TXT", "\"a b\" c", b"\x03a b\x01c"),
            ("CAA", "0 issue \"ca.example\"", b"\x00\x05issueca.example"),
            (
                "HTTPS",
                "1 . alpn=h2 port=8443",
                b"\x00\x01\x00\x00\x01\x00\x03\x02h2\x00\x03\x00\x02\x20\xfb",
            ),
        ];
        for (rtype, value, want) in cases {
            match record_data(origin, rtype, value) {
                Ok((_, data)) => assert_eq!(&*data, want, "{rtype} {value}"),
                Err(error) => panic!("{rtype} {value}: {error}"),
            }
        }
        for (rtype, value) in [
            ("A", "2001:db8::1"),
            ("A", "192.0.2.1 192.0.2.2"),
            ("A", ""),
            ("A", "192.0.2.1\n@ 0 IN A 192.0.2.2"),
            ("CNAME", "a..b"),
            ("SOA", "a b 1 2 3 4 5"),
            ("a", "192.0.2.1"),
        ] {
            assert!(
                record_data(origin, rtype, value).is_err(),
                "{rtype} {value}"
            );
        }
    }
}
