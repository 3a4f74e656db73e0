//! Which sample objects there are.

use super::{Kind, Sample};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const BINARY: &str = "application/octet-stream";
const JSON: &str = "application/json";
const SCRIPT: &str = "text/javascript";

/// Names carry a version, so nothing under them ever changes.
const FOR_EVER: Option<&str> = Some("public, max-age=31536000, immutable");
/// Replaced now and then, and an hour late is early enough.
const AN_HOUR: Option<&str> =
    Some("public, max-age=3600, stale-while-revalidate=60, stale-if-error=86400");
/// The page that names all the others.
const A_MINUTE: Option<&str> = Some("public, max-age=60, stale-if-error=86400");

/// How much of the catalogue to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What the demo shows: about 250 objects of 1 KiB to 64 MiB, some 210 MiB together.
    Full,
    /// What a test can afford: the objects up to 64 KiB.
    Small,
}

/// The samples of `extent`, in a fixed order.
pub fn catalogue(extent: Extent) -> Vec<Sample> {
    let mut samples = [webapp(), images(), notebooks(), datasets(), checkpoints()].concat();
    if extent == Extent::Small {
        samples.retain(|sample| sample.length <= 64 * KIB);
    }
    samples
}

/// A checkpoint of 64 MiB, the largest there is: what is shown of slices and read-ahead is shown with it.
/// [`Extent::Small`] leaves it out; who needs it puts it into the store.
pub fn large() -> Sample {
    checkpoint("step-001000/model.safetensors")
}

fn checkpoint(file: &str) -> Sample {
    noise(
        format!("checkpoints/tiny-lm/{file}"),
        BINARY,
        64 * MIB,
        FOR_EVER,
    )
}

fn webapp() -> Vec<Sample> {
    let mut samples = vec![
        text(
            "webapp/index.html",
            "text/html; charset=utf-8",
            3 * KIB,
            A_MINUTE,
        ),
        text("webapp/app.js", SCRIPT, 180 * KIB, AN_HOUR),
        text("webapp/style.css", "text/css", 24 * KIB, AN_HOUR),
        text("webapp/logo.svg", "image/svg+xml", 2 * KIB, AN_HOUR),
        // No Cache-Control: how long it stays fresh is for the cache to decide.
        text("webapp/robots.txt", "text/plain", KIB, None),
    ];
    samples.extend((0..40).map(|n| {
        text(
            format!("webapp/chunks/{n:02}.v1.js"),
            SCRIPT,
            (4 + n) * KIB,
            FOR_EVER,
        )
    }));
    samples
}

fn images() -> Vec<Sample> {
    let icons = (0..32).map(|n| {
        noise(
            format!("images/icons/{n:02}.png"),
            "image/png",
            KIB,
            FOR_EVER,
        )
    });
    let photos = (0..96).map(|n| {
        noise(
            format!("images/photos/{n:03}.jpg"),
            "image/jpeg",
            (16 + 2 * n) * KIB,
            AN_HOUR,
        )
    });
    let banners = (0..4).map(|n| {
        noise(
            format!("images/banners/{n}.webp"),
            "image/webp",
            MIB,
            AN_HOUR,
        )
    });
    icons.chain(photos).chain(banners).collect()
}

fn notebooks() -> Vec<Sample> {
    (0..40)
        .map(|n| {
            text(
                format!("notebooks/lesson-{n:02}.ipynb"),
                JSON,
                (8 + n) * KIB,
                AN_HOUR,
            )
        })
        .collect()
}

fn datasets() -> Vec<Sample> {
    let mut samples = vec![
        text("datasets/iris/iris.csv", "text/csv", 4 * KIB, AN_HOUR),
        noise(
            "datasets/digits/train-images.idx3",
            BINARY,
            9 * MIB,
            FOR_EVER,
        ),
        noise(
            "datasets/digits/train-labels.idx1",
            BINARY,
            60 * KIB,
            FOR_EVER,
        ),
    ];
    let parts = (0..16).map(|n| format!("datasets/reviews/part-{n:05}.csv"));
    samples.extend(parts.map(|key| text(key, "text/csv", 512 * KIB, FOR_EVER)));
    let shards = (0..12).map(|n| format!("datasets/clicks/shard-{n:03}.parquet"));
    samples
        .extend(shards.map(|key| noise(key, "application/vnd.apache.parquet", 2 * MIB, FOR_EVER)));
    samples
}

fn checkpoints() -> Vec<Sample> {
    let mut samples = Vec::new();
    for step in [1000, 2000] {
        let file = |name: &str| format!("checkpoints/tiny-lm/step-{step:06}/{name}");
        samples.extend([
            text(file("config.json"), JSON, KIB, FOR_EVER),
            text(file("tokenizer.json"), JSON, 512 * KIB, FOR_EVER),
            checkpoint(&format!("step-{step:06}/model.safetensors")),
        ]);
    }
    for (part, length) in [
        ("encoder", 8 * MIB),
        ("decoder", 4 * MIB),
        ("adapter", 2 * MIB),
    ] {
        samples.push(noise(
            format!("checkpoints/vision/{part}.safetensors"),
            BINARY,
            length,
            FOR_EVER,
        ));
    }
    samples
}

fn text(
    key: impl Into<String>,
    content_type: &'static str,
    length: u64,
    cache_control: Option<&'static str>,
) -> Sample {
    Sample {
        key: key.into(),
        length,
        kind: Kind::Text,
        content_type,
        cache_control,
    }
}

fn noise(
    key: impl Into<String>,
    content_type: &'static str,
    length: u64,
    cache_control: Option<&'static str>,
) -> Sample {
    Sample {
        key: key.into(),
        length,
        kind: Kind::Noise,
        content_type,
        cache_control,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_full_catalogue_is_what_the_demo_promises() {
        let samples = catalogue(Extent::Full);
        let keys: BTreeSet<_> = samples.iter().map(Sample::key).collect();
        let total: u64 = samples.iter().map(Sample::length).sum();
        assert_eq!(keys.len(), samples.len(), "a key occurs twice");
        assert!(
            (200..400).contains(&samples.len()),
            "{} objects",
            samples.len()
        );
        assert!(total <= 250 * MIB, "{} MiB", total / MIB);
        assert_eq!(samples.iter().map(Sample::length).min(), Some(KIB));
        assert_eq!(
            samples
                .iter()
                .filter(|sample| sample.length() == 64 * MIB)
                .count(),
            2
        );
        assert!(samples.contains(&large()));
    }

    #[test]
    fn the_small_catalogue_is_a_few_megabytes() {
        let total: u64 = catalogue(Extent::Small).iter().map(Sample::length).sum();
        assert!(total < 8 * MIB, "{} KiB", total / KIB);
    }
}
