//! No bytes in the purge log panic, and what counts as a record has the id it was looked up by. Run with
//! `cargo +nightly fuzz run purge_record` in `asset-server/`.

#![no_main]

use asset_server::purge_log::id::PurgeId;
use asset_server::purge_log::record::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| {
    let (name, bytes) = input;
    if let Ok(id) = name.parse::<PurgeId>() {
        assert_eq!(id.to_string(), name);
        assert!(Record::parse(id, bytes).is_none_or(|record| record.id == id));
    }
});
