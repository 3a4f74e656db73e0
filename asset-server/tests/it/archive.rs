//! `asset-server archive` as a process of its own, between a real S3 protocol store and a directory or a
//! second store: killed, stopped, confused, and never losing an object.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use asset_server::store::{Attributes, Condition, ObjectStore, connect};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::Method;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{Store, config, eventually, noise};

struct Place {
    directory: TempDir,
    origin: Store,
    second: Option<Store>,
}

impl Place {
    /// An archive in a directory, or in a second S3 store.
    async fn new(second: bool) -> Self {
        let directory = TempDir::new().expect("a directory");
        let origin = Store::start().await;
        let second = match second {
            true => Some(Store::start().await),
            false => None,
        };
        let credentials = "aws_access_key_id = key\naws_secret_access_key = secret\n";
        std::fs::write(directory.path().join("credentials"), credentials).expect("a file");
        std::fs::create_dir(directory.path().join("archive")).expect("a directory");
        let s3 = |store: &Store| {
            let address = store.origin.address;
            format!(
                "{{s3: {{endpoint: \"http://{address}\", bucket: assets, credentials: {{file: credentials}}}}}}"
            )
        };
        let archive = match &second {
            Some(store) => s3(store),
            None => "{directory: {path: archive}}".to_owned(),
        };
        let config = format!(
            "assets:\n  mounts:\n    - path: /assets/\n      origin: {}\n      archive: {archive}\n",
            s3(&origin)
        );
        std::fs::write(directory.path().join("config.yaml"), config).expect("a file");
        Self {
            directory,
            origin,
            second,
        }
    }

    fn origin(&self) -> Arc<dyn ObjectStore> {
        let place = self.origin.config();
        connect(&place, &config(place.clone()).origin).expect("a store")
    }

    fn archive(&self) -> Arc<dyn ObjectStore> {
        let place = match &self.second {
            Some(store) => store.config(),
            None => asset_server::config::Origin::Directory {
                path: self.path("archive"),
            },
        };
        connect(&place, &config(place.clone()).origin).expect("a store")
    }

    /// That both stores were asked so far.
    fn requests(&self) -> usize {
        let second = self.second.as_ref();
        self.origin.origin.seen.total() + second.map_or(0, |store| store.origin.seen.total())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command(&self.path("config.yaml"), arguments)
    }

    /// Runs to the end and returns the report.
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
        let output = self
            .command(arguments)
            .arg("--json")
            .output()
            .await
            .expect("run");
        let said = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout).map_err(|_| said);
        (output.status.code(), report.expect("a report"))
    }
}

fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asset-server"));
    command
        .args(["archive", "--mount", "/assets/", "--config"])
        .arg(config);
    command.args(arguments).kill_on_drop(true);
    command
}

fn described() -> Attributes {
    Attributes {
        content_type: Some("text/css".into()),
        cache_control: Some("max-age=60".into()),
        content_encoding: Some("gzip".into()),
        content_disposition: Some("attachment".into()),
        content_language: Some("en".into()),
        expires: None,
        user: [("owner".to_owned(), "ml".to_owned())].into(),
    }
}

/// Everything in a store, by key.
async fn all(store: &dyn ObjectStore) -> BTreeMap<String, (Bytes, Attributes)> {
    let mut objects = BTreeMap::new();
    for listed in store.list("", None).await.expect("listed").objects {
        if listed.key.starts_with(".edge/") {
            continue;
        }
        let Some((head, body)) = store.get(&listed.key, None, None).await.expect("asked") else {
            continue;
        };
        let pieces: Vec<Bytes> = body.try_collect().await.expect("whole");
        objects.insert(listed.key, (pieces.concat().into(), head.attributes));
    }
    objects
}

async fn fill(store: &dyn ObjectStore, sizes: &[usize]) -> BTreeMap<String, Bytes> {
    let mut written = BTreeMap::new();
    for (n, size) in sizes.iter().enumerate() {
        let (key, body) = (format!("runs/{n}.bin"), Bytes::from(noise(n as u64, *size)));
        store
            .put(&key, &described(), body.clone(), &Condition::Always)
            .await
            .expect("written");
        written.insert(key, body);
    }
    written
}

#[tokio::test]
async fn objects_go_to_the_archive_and_come_back_as_they_were() {
    for second in [false, true] {
        let place = Place::new(second).await;
        let (origin, archive) = (place.origin(), place.archive());
        let written = fill(&*origin, &[0, 10, 300_000, 20 << 20]).await;
        let (code, report) = place.run(&["--dry-run"]).await;
        assert_eq!((code, &report["moved"]), (Some(0), &4.into()));
        assert!(all(&*archive).await.is_empty());
        let (code, report) = place.run(&["--older-than", "1h"]).await;
        assert_eq!(
            (code, &report["skipped"]["too young"]),
            (Some(0), &4.into())
        );

        let (code, report) = place.run(&["--larger-than", "5B"]).await;
        assert_eq!(
            (code, &report["moved"], &report["failed"]),
            (Some(0), &3.into(), &0.into()),
            "{report}"
        );
        let archived = all(&*archive).await;
        assert_eq!(archived.len(), 3);
        for (key, (body, attributes)) in &archived {
            assert!(written[key] == body, "{key}");
            assert!(attributes.same_as(&described()), "{key}: {attributes:?}");
        }
        assert_eq!(
            all(&*origin).await.into_keys().collect::<Vec<_>>(),
            ["runs/0.bin"]
        );

        let (code, report) = place.run(&["--restore", "--prefix", "runs/"]).await;
        assert_eq!((code, &report["moved"]), (Some(0), &3.into()), "{report}");
        let restored = all(&*origin).await;
        assert_eq!(restored.len(), 4);
        for (key, (body, attributes)) in &restored {
            assert!(written[key] == body, "{key}");
            assert!(attributes.same_as(&described()), "{key}: {attributes:?}");
        }
        assert!(all(&*archive).await.is_empty());
        // No notes are left either.
        let notes = archive.list(".edge/", None).await.expect("listed").objects;
        assert_eq!(notes, []);
    }
}

#[tokio::test]
async fn killed_at_many_points_it_loses_nothing_and_goes_on() {
    for second in [false, true] {
        let place = Place::new(second).await;
        let (origin, archive) = (place.origin(), place.archive());
        let written = fill(&*origin, &[1000, 18 << 20, 9 << 20, 2000, 1 << 20]).await;
        // Each run is killed some requests later than the one before, until one comes to its end.
        let (mut kills, mut requests_left) = (0, 1);
        let report = loop {
            let mut child = place
                .command(&["--concurrency", "2", "--json"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("a process");
            let until = place.requests() + requests_left;
            requests_left += 3;
            tokio::select! {
                _ = child.wait() => {}
                () = eventually(|| place.requests() >= until) => {}
            }
            if child.try_wait().expect("a state").is_some() {
                break child.wait_with_output().await.expect("an end");
            }
            child.kill().await.expect("killed");
            kills += 1;
            let (here, there) = (all(&*origin).await, all(&*archive).await);
            for (key, body) in &written {
                let intact = |objects: &BTreeMap<String, (Bytes, Attributes)>| {
                    let object = objects.get(key);
                    object.is_some_and(|(b, attributes)| {
                        b == body && attributes.same_as(&described())
                    })
                };
                assert!(intact(&here) || intact(&there), "{key} after {kills} kills");
                // What is not whole has no name.
                assert!(
                    !there.contains_key(key) || intact(&there),
                    "{key} after {kills} kills"
                );
            }
        };
        let said = String::from_utf8_lossy(&report.stdout).into_owned();
        assert!(report.status.success(), "{said}");
        assert!(kills >= 4, "{kills}");
        assert!(all(&*origin).await.is_empty());
        let there = all(&*archive).await;
        assert!(written.iter().all(|(key, body)| there[key].0 == body));
        println!("second: {second}, kills: {kills}, last report: {said}");
    }
}

#[tokio::test]
async fn an_interrupted_upload_is_continued_with_the_parts_that_are_there() {
    let place = Place::new(false).await;
    let origin = place.origin();
    let written = fill(&*origin, &[32 << 20]).await;
    let mut command = place.command(&["--rate-limit", "24MiB"]);
    let mut child = command
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a process");
    let uploads = place.path("archive/.edge/uploads");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let parts_written = || {
        let folder = std::fs::read_dir(&uploads).ok()?.flatten().next()?;
        let lines = std::fs::read_to_string(folder.path().join("parts")).ok()?;
        Some(lines.lines().count())
    };
    while parts_written() < Some(1) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "no part was written"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    child.kill().await.expect("killed");
    let (code, report) = place.run(&[]).await;
    assert_eq!((code, &report["moved"]), (Some(0), &1.into()), "{report}");
    assert!(report["parts_reused"].as_u64() >= Some(1), "{report}");
    assert!(all(&*place.archive()).await["runs/0.bin"].0 == written["runs/0.bin"]);
}

#[tokio::test]
async fn where_there_is_doubt_both_stay() {
    let place = Place::new(false).await;
    let (origin, archive) = (place.origin(), place.archive());
    let none = Attributes::default();
    let put = |store: &Arc<dyn ObjectStore>, key: &'static str, body: &'static str| {
        let (store, none) = (store.clone(), none.clone());
        async move {
            let put = store.put(key, &none, Bytes::from(body), &Condition::Always);
            put.await.expect("written");
        }
    };
    // The archive has something else of that name; the same size must not be enough.
    put(&origin, "other", "new").await;
    put(&archive, "other", "old").await;
    // The same, copied by a run that was killed then.
    put(&origin, "same", "same").await;
    put(&archive, "same", "same").await;
    // Not a path: `a` would be a file and a folder.
    put(&archive, "a", "file").await;
    put(&origin, "a/b", "below").await;
    let (code, report) = place.run(&[]).await;
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["moved"], 1, "{report}");
    assert_eq!(
        report["skipped"]["the target has another object of this key"], 1,
        "{report}"
    );
    assert_eq!(
        report["skipped"]["no path can stand for the key"], 1,
        "{report}"
    );
    let keys: Vec<_> = all(&*origin).await.into_keys().collect();
    assert_eq!(keys, ["a/b", "other"]);
    assert_eq!(all(&*archive).await["other"].0, "old");
    let (code, report) = place.run(&["--replace", "--prefix", "other"]).await;
    assert_eq!((code, &report["moved"]), (Some(0), &1.into()), "{report}");
    assert_eq!(all(&*archive).await["other"].0, "new");
}

#[tokio::test]
async fn a_damaged_archive_is_noticed_and_not_restored_over_the_truth() {
    let place = Place::new(false).await;
    let origin = place.origin();
    fill(&*origin, &[100_000]).await;
    assert_eq!(place.run(&[]).await.0, Some(0));
    let path = place.path("archive/runs/0.bin");
    let modified = path.metadata().and_then(|m| m.modified()).expect("a time");
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes[77_000] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let file = std::fs::File::options()
        .write(true)
        .open(&path)
        .expect("a file");
    file.set_modified(modified).expect("set");
    let (code, report) = place.run(&["--restore"]).await;
    assert_eq!((code, &report["failed"]), (Some(1), &1.into()), "{report}");
    assert!(
        report["failures"][0]["error"]
            .as_str()
            .is_some_and(|e| e.contains("checksum")),
        "{report}"
    );
    assert!(path.exists() && all(&*origin).await.is_empty());
}

#[tokio::test]
async fn an_archive_that_is_the_origin_is_refused() {
    let place = Place::new(false).await;
    let origin = place.origin();
    fill(&*origin, &[10]).await;
    // By another name of the same machine, which no comparison of texts finds out.
    let config = std::fs::read_to_string(place.path("config.yaml")).expect("text");
    let port = place.origin.origin.address.port();
    let s3 = |host: &str| {
        format!(
            "{{s3: {{endpoint: \"http://{host}:{port}\", bucket: assets, credentials: {{file: credentials}}}}}}"
        )
    };
    for (host, message) in [("127.0.0.1", "overlap"), ("localhost", "the same place")] {
        let text = config.replace("{directory: {path: archive}}", &s3(host));
        std::fs::write(place.path("config.yaml"), text).expect("a file");
        let Output { status, stderr, .. } = place.command(&[]).output().await.expect("run");
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(message), "{said}");
    }
    assert_eq!(all(&*origin).await.len(), 1);
    let deleted = place
        .origin
        .origin
        .seen
        .count(&Method::DELETE, "/assets/runs/0.bin");
    assert_eq!(deleted, 0);
}

#[tokio::test]
async fn an_archived_object_is_served_from_the_directory_with_its_headers() {
    let place = Place::new(false).await;
    fill(&*place.origin(), &[1000]).await;
    assert_eq!(place.run(&[]).await.0, Some(0));
    let served = asset_server::config::Origin::Directory {
        path: place.path("archive"),
    };
    let server = crate::support::start(config(served)).await;
    let (status, headers, body) = crate::support::get(&server, "/assets/runs/0.bin", &[]).await;
    assert_eq!((status.as_u16(), body.len()), (200, 1000));
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["content-type"], "text/css");
    let (status, _, _) = crate::support::get(&server, "/assets/.edge/tmp", &[]).await;
    assert_eq!(status.as_u16(), 404);
}
