use std::fs::OpenOptions;

use futures_util::TryStreamExt as _;
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, DirectoryStore) {
    let directory = TempDir::new().expect("a directory");
    let store = DirectoryStore::new(directory.path().to_owned());
    (directory, store)
}

fn described() -> Attributes {
    Attributes {
        content_type: Some("text/css".into()),
        content_encoding: Some("gzip".into()),
        user: [("owner".to_owned(), "ml".to_owned())].into(),
        ..Attributes::default()
    }
}

async fn body(store: &DirectoryStore, key: &str) -> Result<Vec<u8>, StoreError> {
    let (_, body) = store.get(key, None, None).await?.expect("it is there");
    let pieces: Vec<Bytes> = body.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn an_object_comes_back_with_its_attributes_and_is_listed_in_order() {
    let (_directory, store) = store();
    for key in ["b", "a/z", "a.txt", "a/b/c", "é"] {
        let body = Bytes::from(key.to_owned());
        store
            .put(key, &described(), body, &Condition::Absent)
            .await
            .expect("written");
    }
    let head = store.head("a/b/c").await.expect("asked").expect("there");
    assert_eq!((head.size, head.attributes), (5, described()));
    assert_eq!(body(&store, "a/z").await.expect("whole"), b"a/z");
    let listed = store.list("", None).await.expect("listed").objects;
    let keys: Vec<_> = listed.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["a.txt", "a/b/c", "a/z", "b", "é"]);
    let root = store.root.canonicalize().expect("it is there");
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = walk::page(&root, "a", after.as_deref(), 1).expect("listed");
        paged.extend(page.objects.into_iter().map(|object| object.key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, ["a.txt", "a/b/c", "a/z"]);
}

#[tokio::test]
async fn conditions_protect_what_is_there() {
    let (_directory, store) = store();
    let none = Attributes::default();
    let put = |body: &'static str, condition: Condition| {
        let (store, none) = (store.clone(), none.clone());
        async move { store.put("k", &none, Bytes::from(body), &condition).await }
    };
    let first = put("one", Condition::Absent)
        .await
        .expect("written")
        .expect("a tag");
    let refused = |result: Result<Option<String>, StoreError>| {
        assert!(
            matches!(result, Err(StoreError::Precondition)),
            "{result:?}"
        );
    };
    refused(put("two", Condition::Absent).await);
    refused(put("two", Condition::Match("\"other\"".into())).await);
    let second = put("two", Condition::Match(first.clone()))
        .await
        .expect("written");
    let deleted = store.delete("k", Some(&first)).await;
    assert!(
        matches!(deleted, Err(StoreError::Precondition)),
        "{deleted:?}"
    );
    assert_eq!(body(&store, "k").await.expect("whole"), b"two");
    store.delete("k", second.as_deref()).await.expect("deleted");
    assert!(store.head("k").await.expect("asked").is_none());
}

#[tokio::test]
async fn a_flipped_bit_is_noticed_by_who_reads_the_whole() {
    let (directory, store) = store();
    let bytes = Bytes::from(vec![7; 600_000]);
    store
        .put("k", &described(), bytes, &Condition::Always)
        .await
        .expect("written");
    let path = directory.path().join("k");
    let file = OpenOptions::new().write(true).open(&path).expect("a file");
    let modified = file.metadata().and_then(|m| m.modified()).expect("a time");
    file.write_all_at(&[8], 500_000).expect("written");
    file.set_modified(modified).expect("set");
    let read = body(&store, "k").await;
    assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
}

#[tokio::test]
async fn parts_become_one_object_and_survive_until_then() {
    let (_directory, store) = store();
    let upload = store
        .begin_upload("big/one", &described())
        .await
        .expect("begun");
    let mut parts = Vec::new();
    for (number, offset, text) in [(2, 3, "def"), (1, 0, "abc")] {
        let part = store.upload_part(&upload, number, offset, Bytes::from(text));
        parts.push(part.await.expect("written"));
    }
    assert!(store.head("big/one").await.expect("asked").is_none());
    parts.sort_by_key(|part| part.number);
    assert_eq!(store.list_parts(&upload).await.expect("listed"), parts);
    let short = store
        .complete_upload(&upload, &parts[1..], &Condition::Always)
        .await;
    assert!(matches!(short, Err(StoreError::Malformed(_))), "{short:?}");
    let complete = store.complete_upload(&upload, &parts, &Condition::Absent);
    complete.await.expect("complete");
    assert_eq!(body(&store, "big/one").await.expect("whole"), b"abcdef");
    let gone = store.list_parts(&upload).await;
    assert!(matches!(gone, Err(StoreError::NoUpload)), "{gone:?}");
    let strange = UploadRef {
        key: "x".into(),
        id: "../../etc".into(),
    };
    assert!(matches!(
        store.list_parts(&strange).await,
        Err(StoreError::NoUpload)
    ));
}

#[tokio::test]
async fn links_and_strange_keys_lead_nowhere() {
    let (directory, store) = store();
    let outside = TempDir::new().expect("a directory");
    std::fs::write(outside.path().join("secret"), "x").expect("a file");
    std::os::unix::fs::symlink(outside.path(), directory.path().join("way")).expect("a link");
    assert!(store.head("way/secret").await.expect("asked").is_none());
    let none = Attributes::default();
    let through = store
        .put("way/new", &none, Bytes::new(), &Condition::Always)
        .await;
    assert!(matches!(through, Err(StoreError::Key(_))), "{through:?}");
    let up = store
        .put("../new", &none, Bytes::new(), &Condition::Always)
        .await;
    assert!(matches!(up, Err(StoreError::Key(_))), "{up:?}");
}
