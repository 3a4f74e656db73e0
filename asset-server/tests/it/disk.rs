//! The disk tier: restarts, damage, and disks that fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use asset_server::AssetServer;
use http::StatusCode;
use prometheus::Registry;

use crate::support::{Store, config, eventually, get, header, metric, noise, start, with_disk};

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path());
    folders
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| {
            fs::read_dir(folder)
                .expect("a directory")
                .map(|entry| entry.expect("an entry").path())
        })
        .collect()
}

fn stored(directory: &Path) -> usize {
    files(directory)
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "object"))
        .count()
}

/// Ends a server and waits until its directory is free again.
pub(crate) async fn stop(server: AssetServer, directory: &Path) {
    drop(server);
    let lock = fs::File::open(directory.join("lock")).expect("a lock");
    eventually(|| lock.try_lock().is_ok_and(|()| lock.unlock().is_ok())).await;
}

#[tokio::test]
async fn objects_survive_a_restart() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let (small, large) = (noise(7, 1000), noise(8, 3_000_000));
    store.put("small", &small);
    store.put("large", &large);
    let mut config = with_disk(config(store.config()), directory.path());
    config.memory.max_object = 1 << 20;
    let server = start(config.clone()).await;
    get(&server, "/assets/small", &[]).await;
    get(&server, "/assets/large", &[]).await;
    eventually(|| stored(directory.path()) == 2).await;
    stop(server, directory.path()).await;

    let server = start(config).await;
    for _ in 0..2 {
        for (path, object) in [("/assets/small", &small), ("/assets/large", &large)] {
            let (_, headers, body) = get(&server, path, &[]).await;
            assert!(body == object[..], "{path}");
            assert!(
                header(&headers, "cache-status").starts_with("asset-test; hit"),
                "{headers:?}"
            );
        }
    }
    let (_, _, part) = get(
        &server,
        "/assets/large",
        &[("range", "bytes=100000-2000000")],
    )
    .await;
    assert!(part == large[100_000..=2_000_000]);
    assert_eq!((store.gets("small"), store.gets("large")), (1, 1));
}

#[tokio::test]
async fn a_damaged_file_is_never_served_but_fetched_again_and_counted() {
    // Both through promotion into memory, and streamed from the file.
    for max_object in [8 << 20, 100_000] {
        let store = Store::start().await;
        let object = noise(9, 1_000_000);
        store.put("x", &object);
        for damage in [
            "header",
            "meta",
            "first block",
            "last block",
            "table",
            "truncated",
            "longer",
            "empty",
            "swapped",
        ] {
            let directory = tempfile::TempDir::new().expect("a directory");
            let mut config = with_disk(config(store.config()), directory.path());
            config.memory.max_object = max_object;
            let server = start(config.clone()).await;
            get(&server, "/assets/x", &[]).await;
            eventually(|| stored(directory.path()) == 1).await;
            stop(server, directory.path()).await;

            let file = files(directory.path()).pop().expect("a file");
            let mut bytes = fs::read(&file).expect("its bytes");
            let length = bytes.len();
            match damage {
                "header" => bytes[20] ^= 1,
                "meta" => bytes[60] ^= 0x40,
                "first block" => bytes[5000] ^= 1,
                "last block" => bytes[length - 1000] ^= 0x80,
                "table" => bytes[length - 1] ^= 1,
                "truncated" => bytes.truncate(length - 70_000),
                "longer" => bytes.push(0),
                "empty" => bytes.clear(),
                _ => bytes.swap(20_000, 900_000),
            }
            if damage == "swapped" {
                let a = bytes[20_000..20_010].to_vec();
                bytes[20_000..20_010].copy_from_slice(&noise(10, 10));
                assert_ne!(a, &bytes[20_000..20_010]);
            }
            fs::write(&file, &bytes).expect("written");

            let registry = Registry::new();
            let server = AssetServer::start(config, &registry)
                .await
                .expect("a server");
            let (status, _, body) = get(&server, "/assets/x", &[]).await;
            assert!(
                status == StatusCode::OK && body == object,
                "{damage} with {max_object}"
            );
            assert_eq!(
                metric(&registry, "asset_server_corrupt_files_total"),
                1.0,
                "{damage} with {max_object}"
            );
            assert!(
                get(&server, "/assets/x", &[]).await.2 == object,
                "{damage} again"
            );
        }
    }
}

#[tokio::test]
async fn damage_under_a_running_server_is_completed_from_the_origin() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let object = noise(11, 2_000_000);
    store.put("x", &object);
    let mut config = with_disk(config(store.config()), directory.path());
    config.memory.max_object = 100_000;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    get(&server, "/assets/x", &[]).await;
    eventually(|| metric(&registry, "asset_server_fills_in_flight") == 0.0).await;
    let file = files(directory.path()).pop().expect("a file");
    let open = fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .expect("open");
    std::os::unix::fs::FileExt::write_all_at(&open, b"damage", 1_500_000).expect("written");
    let (_, _, body) = get(&server, "/assets/x", &[]).await;
    assert!(body == object, "the rest came from the origin");
    assert_eq!(metric(&registry, "asset_server_corrupt_files_total"), 1.0);
}

#[tokio::test]
async fn what_a_crash_leaves_is_removed_at_the_next_start() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let folder = directory.path().join("2a");
    fs::create_dir(&folder).expect("a directory");
    fs::write(folder.join("000000000000002a.partial"), noise(12, 5000)).expect("a file");
    fs::write(folder.join("000000000000002a.object"), noise(13, 5000)).expect("a file");
    fs::write(folder.join("notes.txt"), "what is this").expect("a file");
    fs::write(directory.path().join("README"), "not in a folder of ours").expect("a file");
    let server = start(with_disk(config(store.config()), directory.path())).await;
    assert!(files(directory.path()).is_empty());
    assert!(directory.path().join("README").exists());
    drop(server);
}

#[tokio::test]
async fn a_disk_that_cannot_be_used_is_left_out() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let object = noise(14, 500_000);
    store.put("x", &object);
    let not_a_directory = directory.path().join("file");
    fs::write(&not_a_directory, "").expect("a file");
    for (path, size, max_object) in [
        (not_a_directory, 1 << 30, 8 << 20),
        (directory.path().join("small"), 1000, 100_000),
    ] {
        let mut config = with_disk(config(store.config()), &path);
        config.memory.max_object = max_object;
        config.disk.as_mut().expect("a disk").size = size;
        let registry = Registry::new();
        let server = AssetServer::start(config, &registry)
            .await
            .expect("a server");
        for _ in 0..2 {
            let (status, _, body) = get(&server, "/assets/x", &[]).await;
            assert!(status == StatusCode::OK && body == object);
        }
        assert!(metric(&registry, "asset_server_disk_errors_total") >= 1.0);
    }
}

#[tokio::test]
async fn a_disk_that_fails_in_the_middle_of_a_fill_costs_no_reader_a_byte() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let (a, b) = (noise(15, 3_000_000), noise(16, 3_000_000));
    store.put("a", &a);
    store.put("b", &b);
    let mut config = with_disk(config(store.config()), directory.path());
    config.memory.max_object = 100_000;
    let server = start(config).await;
    get(&server, "/assets/a", &[]).await;
    // The folders are gone: opening and renaming fail from now on.
    eventually(|| stored(directory.path()) == 1).await;
    for folder in fs::read_dir(directory.path())
        .expect("a directory")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.is_dir())
    {
        fs::remove_dir_all(folder).expect("removed");
    }
    for _ in 0..2 {
        assert!(get(&server, "/assets/b", &[]).await.2 == b);
        assert!(get(&server, "/assets/a", &[]).await.2 == a);
    }
}

#[tokio::test]
async fn the_tier_stays_within_its_size() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let mut config = with_disk(config(store.config()), directory.path());
    config.disk.as_mut().expect("a disk").size = 1_000_000;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    for i in 0..20 {
        store.put(&format!("{i}"), &noise(i, 100_000));
        get(&server, &format!("/assets/{i}"), &[]).await;
    }
    eventually(|| metric(&registry, "asset_server_fills_in_flight") == 0.0).await;
    let total: u64 = files(directory.path())
        .iter()
        .map(|f| f.metadata().map_or(0, |m| m.len()))
        .sum();
    assert!(total <= 1_000_000 && total > 700_000, "{total}");
    assert!(metric(&registry, "asset_server_evictions_total") >= 10.0);
}

#[tokio::test]
async fn a_purge_is_not_undone_by_a_restart() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    store.put("v1/x", b"old");
    let config = with_disk(config(store.config()), directory.path());
    let server = start(config.clone()).await;
    get(&server, "/assets/v1/x", &[]).await;
    eventually(|| stored(directory.path()) == 1).await;
    store.put("v1/x", b"new");
    let report = server
        .purge(&asset_server::Purge::Prefix("/assets/v1/".into()))
        .await;
    assert_eq!((report.memory, report.disk), (1, 1));
    stop(server, directory.path()).await;
    let server = start(config).await;
    assert_eq!(get(&server, "/assets/v1/x", &[]).await.2, "new");
}

#[tokio::test]
async fn two_processes_do_not_share_a_directory() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let config = with_disk(config(store.config()), directory.path());
    let _first = start(config.clone()).await;
    let second = AssetServer::start(config, &Registry::new()).await;
    assert!(second.is_err_and(|error| error.to_string().contains("in use")));
}

#[tokio::test]
async fn a_disk_that_can_only_be_read_still_answers_and_the_rest_comes_from_the_origin() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let (old, new) = (noise(17, 1_000_000), noise(18, 1_000_000));
    store.put("old", &old);
    store.put("new", &new);
    let mut config = with_disk(config(store.config()), directory.path());
    config.memory.max_object = 100_000;
    let server = start(config.clone()).await;
    get(&server, "/assets/old", &[]).await;
    eventually(|| stored(directory.path()) == 1).await;
    stop(server, directory.path()).await;
    // Mode bits do not bind every user, but nobody makes a file below a file.
    for folder in (0..=255).map(|n| directory.path().join(format!("{n:02x}"))) {
        if !folder.exists() {
            fs::write(folder, "").expect("a file");
        }
    }

    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    for _ in 0..2 {
        assert!(get(&server, "/assets/new", &[]).await.2 == new);
        assert!(get(&server, "/assets/old", &[]).await.2 == old);
    }
    assert_eq!((store.gets("old"), stored(directory.path())), (1, 1));
    assert!(metric(&registry, "asset_server_disk_errors_total") >= 1.0);
    assert_eq!(metric(&registry, "asset_server_corrupt_files_total"), 0.0);
}

#[tokio::test]
async fn a_start_that_lost_its_journal_serves_what_is_there() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let object = noise(19, 300_000);
    store.put("x", &object);
    let mut config = with_disk(config(store.config()), directory.path());
    config.memory.max_object = 100_000;
    for journal in ["", "not a journal"] {
        let server = start(config.clone()).await;
        assert!(get(&server, "/assets/x", &[]).await.2 == object);
        eventually(|| stored(directory.path()) == 1).await;
        stop(server, directory.path()).await;
        fs::write(directory.path().join("journal"), journal).expect("written");
    }
    let server = start(config).await;
    assert!(get(&server, "/assets/x", &[]).await.2 == object);
    assert_eq!(store.gets("x"), 1);
}

#[tokio::test]
async fn a_reader_of_a_large_file_lets_others_have_their_turn() {
    let store = Store::start().await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let object = noise(40, 5_000_000);
    store.put("x", &object);
    let mut config = with_disk(config(store.config()), directory.path());
    config.memory.max_object = 100_000;
    let registry = Registry::new();
    let server = AssetServer::start(config, &registry)
        .await
        .expect("a server");
    get(&server, "/assets/x", &[]).await;
    eventually(|| metric(&registry, "asset_server_fills_in_flight") == 0.0).await;
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    tokio::task::yield_now().await;
    let (before, reads) = (
        turns.load(Ordering::Relaxed),
        "asset_server_disk_reads_total",
    );
    let read = metric(&registry, reads);
    assert!(get(&server, "/assets/x", &[]).await.2 == object);
    other.abort();
    let pieces = (metric(&registry, reads) - read) as usize;
    assert_eq!(pieces, 5_000_000usize.div_ceil(256 << 10));
    let turns = turns.load(Ordering::Relaxed) - before;
    assert!(turns >= pieces - 1, "{turns} turns in {pieces} pieces");
}
