//! The commands that the documentation promises.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::process::{Command, Output};

fn geo_db(directory: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_geo-db"))
        .current_dir(directory)
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

fn says(directory: &Path, arguments: &str) -> String {
    let output = geo_db(directory, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_office_is_mapped_as_the_operators_page_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let offices = "network,country,lat,lon\n10.20.0.0/16,DE,52.52,13.40\n10.20.9.0/24,SG,1.35,103.82\nfd12:3456::/32,US,40.71,-74.01\n";
    std::fs::write(path.join("offices.csv"), offices).unwrap();
    assert!(says(path, "build offices.csv --output offices.mmdb").contains("3 networks"));
    let json = says(
        path,
        "nearest 10.20.9.7 fd12:3456::1 --database offices.mmdb --regions nyc3,ams3,sgp1 --json",
    );
    let answers: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(answers[0]["regions"][0]["region"], "sgp1");
    assert_eq!(answers[1]["regions"][0]["region"], "nyc3");
    assert_eq!(answers[0]["source"], "database");
    let info = says(path, "info --database offices.mmdb --json");
    assert!(info.contains("Company-Networks"), "{info}");
}

#[test]
fn a_prefix_is_corrected_as_the_operators_page_says() {
    let directory = tempfile::tempdir().unwrap();
    let overrides = "# prefix,country,lat,lon  or  prefix,region=slug\n203.0.113.0/24,BR,-23.55,-46.63\n198.51.100.0/24,region=syd1\n";
    std::fs::write(directory.path().join("overrides.csv"), overrides).unwrap();
    let text = says(
        directory.path(),
        "nearest 203.0.113.9 198.51.100.9 --overrides overrides.csv --regions nyc3,ams3,sgp1,syd1",
    );
    assert!(text.contains("country BR"), "{text}");
    assert!(text.contains("syd1 (pinned)"), "{text}");
}

#[test]
fn bad_input_exits_2_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("bad.csv"),
        "10.0.0.0/8,DE\n10.0.0/8,FR\n",
    )
    .unwrap();
    let cases = [
        ("lookup not-an-address", "invalid IP address"),
        (
            "nearest 8.8.8.8 --regions moon1",
            "no region `moon1`; there are: nyc1",
        ),
        (
            "lookup 8.8.8.8 --database missing.mmdb",
            "cannot read missing.mmdb",
        ),
        (
            "lookup 8.8.8.8 --database bad.csv",
            "bad.csv line 2: `10.0.0/8` is not a network such as 192.0.2.0/24",
        ),
        ("build bad.csv --output out.mmdb", "bad.csv line 2"),
    ];
    for (arguments, want) in cases {
        let output = geo_db(directory.path(), arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(errors.contains(want), "{arguments}: {errors}");
    }
}
