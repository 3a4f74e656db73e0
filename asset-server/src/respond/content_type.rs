//! The type of an object whose origin does not say: by its extension, for what browsers and ML tools
//! load. Text says its charset, which is UTF-8.

use http::HeaderValue;

/// A type for a key, `application/octet-stream` where nothing better is known.
pub fn guess(key: &str) -> HeaderValue {
    let name = key.rsplit('/').next().unwrap_or(key);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mut lower = [0; 12];
    let Some(lower) = lower.get_mut(..extension.len()) else {
        return HeaderValue::from_static("application/octet-stream");
    };
    lower.copy_from_slice(extension.as_bytes());
    lower.make_ascii_lowercase();
    HeaderValue::from_static(match &*lower {
        // Text, with the one encoding that is left.
        b"html" | b"htm" => "text/html; charset=utf-8",
        b"css" => "text/css; charset=utf-8",
        b"js" | b"mjs" | b"cjs" => "text/javascript; charset=utf-8",
        b"txt" | b"log" | b"text" | b"conf" | b"ini" => "text/plain; charset=utf-8",
        b"py" => "text/x-python; charset=utf-8",
        b"md" => "text/markdown; charset=utf-8",
        b"csv" => "text/csv; charset=utf-8",
        b"tsv" => "text/tab-separated-values; charset=utf-8",
        b"vtt" => "text/vtt; charset=utf-8",
        b"ics" => "text/calendar; charset=utf-8",
        // Data. JSON is UTF-8 by definition (RFC 8259 section 8.1) and has no charset parameter.
        b"xml" | b"xsl" => "application/xml",
        b"atom" => "application/atom+xml",
        b"rss" => "application/rss+xml",
        b"json" | b"map" => "application/json",
        b"geojson" => "application/geo+json",
        b"jsonld" => "application/ld+json",
        b"jsonl" | b"ndjson" => "application/x-ndjson",
        b"ipynb" => "application/x-ipynb+json",
        b"webmanifest" => "application/manifest+json",
        b"yaml" | b"yml" => "application/yaml",
        b"toml" => "application/toml",
        b"wasm" => "application/wasm",
        b"pdf" => "application/pdf",
        b"parquet" => "application/vnd.apache.parquet",
        b"arrow" | b"feather" => "application/vnd.apache.arrow.file",
        b"arrows" => "application/vnd.apache.arrow.stream",
        b"avro" => "application/vnd.apache.avro",
        b"sqlite" | b"sqlite3" => "application/vnd.sqlite3",
        b"h5" | b"hdf5" => "application/x-hdf5",
        // Archives. Their own type, not a coding of what is in them.
        b"zip" | b"whl" | b"npz" => "application/zip",
        b"gz" | b"tgz" => "application/gzip",
        b"zst" => "application/zstd",
        b"bz2" => "application/x-bzip2",
        b"xz" => "application/x-xz",
        b"tar" => "application/x-tar",
        b"jar" => "application/java-archive",
        // Images, sound, film, fonts.
        b"png" => "image/png",
        b"apng" => "image/apng",
        b"jpg" | b"jpeg" => "image/jpeg",
        b"gif" => "image/gif",
        b"svg" => "image/svg+xml",
        b"webp" => "image/webp",
        b"avif" => "image/avif",
        b"jxl" => "image/jxl",
        b"tif" | b"tiff" => "image/tiff",
        b"bmp" => "image/bmp",
        b"ico" => "image/x-icon",
        b"mp4" | b"m4v" => "video/mp4",
        b"m4s" => "video/iso.segment",
        b"webm" => "video/webm",
        b"ts" => "video/mp2t",
        b"m3u8" => "application/vnd.apple.mpegurl",
        b"mpd" => "application/dash+xml",
        b"mp3" => "audio/mpeg",
        b"m4a" => "audio/mp4",
        b"aac" => "audio/aac",
        b"ogg" | b"oga" | b"opus" => "audio/ogg",
        b"flac" => "audio/flac",
        b"wav" => "audio/wav",
        b"woff" => "font/woff",
        b"woff2" => "font/woff2",
        b"ttf" => "font/ttf",
        b"otf" => "font/otf",
        b"glb" => "model/gltf-binary",
        b"gltf" => "model/gltf+json",
        // Models and checkpoints have no registered types. Named here so that nobody adds a guess: they
        // are bytes, must not be sniffed, and do not compress.
        b"safetensors" | b"onnx" | b"gguf" | b"pt" | b"pth" | b"ckpt" | b"bin" | b"pkl"
        | b"npy" | b"pb" | b"tflite" | b"tfrecord" | b"msgpack" => "application/octet-stream",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_extension_decides() {
        for (key, guessed) in [
            ("/a/index.HTML", "text/html; charset=utf-8"),
            ("/a/app.min.js", "text/javascript; charset=utf-8"),
            ("/a/model.safetensors", "application/octet-stream"),
            ("/a/train.parquet", "application/vnd.apache.parquet"),
            ("/a/eval.ipynb", "application/x-ipynb+json"),
            ("/a/app.wasm", "application/wasm"),
            ("/a/app.mjs", "text/javascript; charset=utf-8"),
            ("/a/app.js.gz", "application/gzip"),
            ("/a/site.webmanifest", "application/manifest+json"),
            ("/a.js/LICENSE", "application/octet-stream"),
            ("/a/x.averyverylongextension", "application/octet-stream"),
            ("/a/é.é", "application/octet-stream"),
            ("/a/x.", "application/octet-stream"),
        ] {
            assert_eq!(super::guess(key), guessed, "{key}");
        }
    }
}
