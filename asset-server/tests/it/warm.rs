//! `asset-server warm` as a process of its own, through a running asset server.

use std::process::Output;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;
use crate::support::{Store, noise};

struct Place {
    directory: TempDir,
    store: Store,
    server: Process,
}

impl Place {
    async fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let store = Store::start().await;
        let server =
            Process::start(directory.path(), &store, "{size: 64MiB, max_object: 8MiB}").await;
        Self {
            directory,
            store,
            server,
        }
    }

    async fn warm(
        &self,
        manifest: Option<&str>,
        arguments: &[&str],
    ) -> (i32, serde_json::Value, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asset-server"));
        command
            .args(["warm", "--json", "--config"])
            .arg(self.directory.path().join("config.yaml"));
        command
            .args(["--to", &format!("http://{}", self.server.address)])
            .args(arguments);
        if let Some(text) = manifest {
            let file = self.directory.path().join("manifest");
            std::fs::write(&file, text).expect("a file");
            command.arg("--manifest").arg(file);
        }
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().await.expect("run");
        let report = serde_json::from_slice(&stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&stderr).into_owned();
        (status.code().expect("a code"), report, said)
    }
}

#[tokio::test]
async fn what_a_prefix_lists_is_in_the_cache_afterwards() {
    let place = Place::new().await;
    let bodies: Vec<_> = (0..5)
        .map(|n| (format!("models/ü {n}.bin"), noise(n, 400_000)))
        .collect();
    for (key, body) in &bodies {
        place.store.put(key, body);
    }
    place.store.put("other/x", b"not meant");
    let arguments = ["--prefix", "/assets/models/", "--verify"];
    let (code, report, said) = place.warm(None, &arguments).await;
    assert_eq!(
        (code, &report["fetched"], &report["bytes"]),
        (0, &5.into(), &2_000_000.into()),
        "{report} {said}"
    );
    assert_eq!(report["cache_status"]["stored"], 5, "{report}");
    let (code, report, _) = place.warm(None, &arguments).await;
    assert_eq!(
        (code, &report["cache_status"]["hit"]),
        (0, &5.into()),
        "{report}"
    );
    assert_eq!(place.store.gets("other/x"), 0);
}

#[tokio::test]
async fn a_manifest_is_verified_and_gone_on_with() {
    let place = Place::new().await;
    let body = noise(9, 100_000);
    place.store.put("a", &body);
    place.store.put("b", b"small");
    let hash: String = Sha256::digest(&body)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let good = format!(
        "{{\"path\": \"/assets/a\", \"size\": 100000, \"sha256\": \"{hash}\"}}\n/assets/b\n"
    );
    let manifest = format!(
        "# of a release\n{good}/assets/none\n{{\"path\": \"/assets/b\", \"size\": 6}}\n{{\"path\": \"/assets/b\", \"sha256\": \"{hash}\"}}\n{{\"path\": \"/assets/a\", \"etag\": \"x\"}}\n"
    );
    let (code, report, said) = place.warm(Some(&manifest), &["--verify"]).await;
    assert_eq!(
        (code, &report["fetched"], &report["failed"]),
        (1, &2.into(), &4.into()),
        "{report} {said}"
    );
    let failures = report["failures"].to_string();
    for reason in ["404", "not 6", "SHA-256", "entity tag"] {
        assert!(failures.contains(reason), "{failures}");
    }
    assert!(said.contains("--resume"), "{said}");
    // The rest is put right; what was done is not asked for again.
    let (code, report, said) = place.warm(Some(&good), &["--verify", "--resume"]).await;
    assert_eq!(
        (code, &report["done_before"], &report["fetched"]),
        (0, &2.into(), &0.into()),
        "{report} {said}"
    );
    assert!(!place.directory.path().join("manifest.warmed").exists());
    let (code, report, _) = place.warm(Some(&good), &["--resume"]).await;
    assert_eq!((code, &report["fetched"]), (0, &2.into()), "{report}");
}

#[tokio::test]
async fn the_rate_limit_holds_and_mistakes_are_told() {
    let place = Place::new().await;
    place.store.put("a", &noise(1, 1 << 20));
    let before = std::time::Instant::now();
    let (code, _, _) = place
        .warm(Some("/assets/a\n"), &["--rate-limit", "2MiB"])
        .await;
    assert!(
        code == 0 && before.elapsed().as_millis() >= 450,
        "{:?}",
        before.elapsed()
    );
    for (manifest, arguments, message) in [
        (Some("assets/a\n"), &[] as &[&str], "line 1"),
        (None, &["--prefix", "/elsewhere/"], "no mount"),
        (None, &["--prefix", "/assets/", "--resume"], "--state"),
        (None, &[], "--manifest"),
    ] {
        let (code, _, said) = place.warm(manifest, arguments).await;
        assert!(code == 2 && said.contains(message), "{said}");
    }
}
