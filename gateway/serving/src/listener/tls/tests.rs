use std::path::Path;

use super::{Certificates, TlsError, TlsFile, read};

fn write(directory: &Path, stem: &str, names: &[&str]) -> TlsFile {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let file = TlsFile {
        certificate: directory.join(format!("{stem}.pem")),
        key: directory.join(format!("{stem}.key")),
    };
    std::fs::write(&file.certificate, made.cert.pem()).unwrap();
    std::fs::write(&file.key, made.signing_key.serialize_pem()).unwrap();
    file
}

#[test]
fn certificates_are_known_by_their_names_and_the_first_is_the_default() {
    let directory = tempfile::tempdir().unwrap();
    let one = write(directory.path(), "one", &["edge.test", "www.edge.test"]);
    let two = write(directory.path(), "two", &["*.tools.test"]);
    let by_name = read(&[one, two]).unwrap();
    let mut names: Vec<&str> = by_name.names.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["*.tools.test", "edge.test", "www.edge.test"]);
    assert!(std::sync::Arc::ptr_eq(
        by_name.first.as_ref().unwrap(),
        &by_name.names["edge.test"]
    ));
}

#[test]
fn a_bad_file_is_named_and_keeps_what_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "one", &["edge.test"]);
    let certificates = Certificates::load(vec![file.clone()]).unwrap();
    std::fs::write(&file.key, "not a key").unwrap();
    let error = certificates.reload().unwrap_err();
    assert!(
        matches!(&error, TlsError::Pem { path, .. } if *path == file.key),
        "{error}"
    );
    assert!(certificates.by_name.load().first.is_some());
    let stranger = write(directory.path(), "two", &["edge.test"]);
    let mixed = TlsFile {
        certificate: stranger.certificate,
        key: write(directory.path(), "three", &["a.test"]).key,
    };
    assert!(matches!(
        Certificates::load(vec![mixed]),
        Err(TlsError::Certificate { .. })
    ));
}
