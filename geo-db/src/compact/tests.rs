use std::net::IpAddr;
use std::str::FromStr;

use proptest::prelude::*;

use super::*;

fn row(start: &str, end: &str, country: &str) -> Row {
    let ip = |text: &str| text.parse::<IpAddr>().expect("a literal");
    let record = Record {
        country: country.parse().ok(),
        ..Record::default()
    };
    Row {
        start: ip(start),
        end: ip(end),
        record,
    }
}

fn edges() -> Vec<Row> {
    vec![
        row("0.0.0.0", "0.255.255.255", "AA"),
        row("1.0.0.0", "1.0.0.0", "BB"),
        row("255.255.255.255", "255.255.255.255", "CC"),
        row("::", "0:0:0:1:ffff:ffff:ffff:ffff", "DD"),
        row("2a00::", "2a00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "BB"),
        row(
            "ffff:ffff:ffff:ffff::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "EE",
        ),
    ]
}

#[test]
fn what_is_written_reads_back() {
    let built = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let written = CountryRanges::from_rows(built, edges()).expect("good rows");
    let read = CountryRanges::decode(&written.encode().expect("fits")).expect("reads back");
    assert_eq!(read.built, built);
    assert_eq!(read.countries, written.countries);
    assert_eq!(read.spans.v4, written.spans.v4);
    assert_eq!(read.spans.v6, written.spans.v6);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = CountryRanges::from_rows(UNIX_EPOCH, edges())
        .and_then(|ranges| ranges.encode())
        .expect("fits");
    for cut in 0..whole.len() {
        assert!(
            CountryRanges::decode(&whole[..cut]).is_err(),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_v6_network_finer_than_64_bits_is_refused() {
    let fine = CountryRanges::from_rows(UNIX_EPOCH, [row("2a00::1", "2a00::1", "DE")])
        .expect("a good row");
    assert!(fine.encode().is_err());
}

proptest! {
    #[test]
    fn no_stream_makes_the_decoder_panic(plain in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&compress_to_vec_zlib(&plain, 1));
        let _ = CountryRanges::decode(&bytes);
        let _ = CountryRanges::decode(&plain);
    }

    #[test]
    fn v4_rows_survive(starts in prop::collection::btree_set(any::<u32>(), 1..50)) {
        let starts: Vec<u32> = starts.into_iter().collect();
        let country = |n: usize| Country::from_str(["DE", "FR", "GB"][n % 3]).ok();
        let rows = starts.windows(2).enumerate().map(|(n, pair)| Row {
            start: IpAddr::V4(pair[0].into()),
            end: IpAddr::V4((pair[1] - 1).into()),
            record: Record { country: country(n), ..Record::default() },
        });
        let written = CountryRanges::from_rows(UNIX_EPOCH, rows).expect("good rows");
        let read = CountryRanges::decode(&written.encode().expect("fits")).expect("reads back");
        prop_assert_eq!(read.spans.v4, written.spans.v4);
    }
}
