use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{KeyFiles, Keys, KeysError};
use crate::mesh::authority::{Issued, Validity, issue, make_authority};

const HOUR: Duration = Duration::from_secs(3600);

fn good() -> Validity {
    let now = SystemTime::now();
    Validity {
        from: now - HOUR,
        until: now + HOUR,
    }
}

fn written(directory: &Path, authority: &Issued, region: &Issued) -> KeyFiles {
    let files = KeyFiles {
        certificate: directory.join("region.pem"),
        key: directory.join("region.key"),
        authorities: vec![directory.join("ca.pem")],
    };
    std::fs::write(&files.certificate, &region.certificate).unwrap();
    std::fs::write(&files.key, &region.key).unwrap();
    std::fs::write(&files.authorities[0], &authority.certificate).unwrap();
    files
}

#[test]
fn what_the_others_would_not_take_is_known_before_they_are_asked() {
    let directory = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let (ours, foreign) = (
        make_authority(good()).unwrap(),
        make_authority(good()).unwrap(),
    );
    let past = Validity {
        from: now - 2 * HOUR,
        until: now - HOUR,
    };
    for (authority, validity, trouble) in [
        (&ours, good(), None),
        (&ours, past, Some("expired")),
        (&foreign, good(), Some("invalid peer certificate")),
    ] {
        let region = issue(authority, "ams3", validity).unwrap();
        let files = written(directory.path(), &ours, &region);
        let keys = Keys::load(&files, "ams3").unwrap();
        match (&keys.trouble, trouble) {
            (None, None) => {}
            (Some(said), Some(expected)) => assert!(said.contains(expected), "{said}"),
            other => panic!("{other:?}"),
        }
        let left = keys.expires.duration_since(validity.from).unwrap();
        let all = validity.until.duration_since(validity.from).unwrap();
        assert!(all.abs_diff(left) < Duration::from_secs(2), "{left:?}");
    }
}

#[test]
fn a_certificate_of_another_region_and_a_key_of_another_certificate_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let authority = make_authority(good()).unwrap();
    let other = issue(&authority, "nyc3", good()).unwrap();
    let files = written(directory.path(), &authority, &other);
    let error = Keys::load(&files, "ams3").map(|_| ()).unwrap_err();
    assert!(matches!(&error, KeysError::OtherRegion { .. }), "{error}");
    assert!(error.to_string().contains("nyc3"), "{error}");

    let ours = issue(&authority, "ams3", good()).unwrap();
    let mixed = Issued {
        key: other.key,
        ..ours
    };
    let files = written(directory.path(), &authority, &mixed);
    let error = Keys::load(&files, "ams3").map(|_| ()).unwrap_err();
    assert!(matches!(&error, KeysError::Unusable { .. }), "{error}");

    std::fs::write(&files.authorities[0], "").unwrap();
    assert!(Keys::load(&files, "ams3").is_err());
}
