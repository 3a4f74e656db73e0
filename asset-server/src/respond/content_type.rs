//! The type of an object whose origin does not say: by its extension, for what browsers and ML tools
//! load.

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
        b"html" | b"htm" => "text/html; charset=utf-8",
        b"css" => "text/css; charset=utf-8",
        b"js" | b"mjs" => "text/javascript; charset=utf-8",
        b"txt" | b"log" => "text/plain; charset=utf-8",
        b"md" => "text/markdown; charset=utf-8",
        b"csv" => "text/csv; charset=utf-8",
        b"xml" => "application/xml",
        b"json" | b"map" | b"ipynb" => "application/json",
        b"yaml" | b"yml" => "application/yaml",
        b"wasm" => "application/wasm",
        b"pdf" => "application/pdf",
        b"zip" => "application/zip",
        b"gz" | b"tgz" => "application/gzip",
        b"zst" => "application/zstd",
        b"tar" => "application/x-tar",
        b"parquet" => "application/vnd.apache.parquet",
        b"png" => "image/png",
        b"jpg" | b"jpeg" => "image/jpeg",
        b"gif" => "image/gif",
        b"svg" => "image/svg+xml",
        b"webp" => "image/webp",
        b"avif" => "image/avif",
        b"ico" => "image/x-icon",
        b"mp4" => "video/mp4",
        b"webm" => "video/webm",
        b"mp3" => "audio/mpeg",
        b"wav" => "audio/wav",
        b"woff" => "font/woff",
        b"woff2" => "font/woff2",
        b"ttf" => "font/ttf",
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
            ("/a.js/LICENSE", "application/octet-stream"),
            ("/a/x.averyverylongextension", "application/octet-stream"),
            ("/a/é.é", "application/octet-stream"),
            ("/a/x.", "application/octet-stream"),
        ] {
            assert_eq!(super::guess(key), guessed, "{key}");
        }
    }
}
