//! The console's files, embedded in the program.

/// The name of the page that loads all others.
pub(super) const INDEX: &str = "index.html";

/// A file.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) content_type: &'static str,
    pub(super) bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! assets {
    ($($name:literal: $content_type:ident),* $(,)?) => {
        &[$(Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("assets/", $name)),
        }),*]
    };
}

/// All files.
pub(super) const ASSETS: &[Asset] = assets![
    "index.html": HTML,
    "console.css": CSS,
    "icon.svg": SVG,
    "preact-htm.js": SCRIPT,
    "preact-htm.LICENSE.txt": TEXT,
    "app.js": SCRIPT,
    "api.js": SCRIPT,
    "config.js": SCRIPT,
    "login.js": SCRIPT,
    "routing.js": SCRIPT,
    "format.js": SCRIPT,
    "parts.js": SCRIPT,
    "resource.js": SCRIPT,
    "tail.js": SCRIPT,
    "events.js": SCRIPT,
    "steps.js": SCRIPT,
    "form.js": SCRIPT,
    "operation.js": SCRIPT,
    "page-overview.js": SCRIPT,
    "page-live.js": SCRIPT,
    "page-streams.js": SCRIPT,
    "page-stream.js": SCRIPT,
    "page-trace.js": SCRIPT,
    "page-projections.js": SCRIPT,
    "page-parked.js": SCRIPT,
    "page-commands.js": SCRIPT,
    "page-trust.js": SCRIPT,
];

#[cfg(test)]
mod tests {
    use super::ASSETS;
    use std::collections::BTreeSet;

    /// The most bytes of all files together, without compression.
    const MAX_BYTES: usize = 150 * 1024;
    /// The most lines of a file that people read.
    const MAX_LINES: usize = 400;

    #[test]
    fn all_files_together_are_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        println!("{} files have {bytes} bytes", ASSETS.len());
        assert!(bytes <= MAX_BYTES, "{bytes}");
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_none_is_long() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/console/assets");
        let names = std::fs::read_dir(folder).unwrap();
        let names: BTreeSet<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names, ASSETS.iter().map(|asset| asset.name.to_owned()).collect());
        for asset in ASSETS {
            let lines = asset.bytes.iter().filter(|byte| **byte == b'\n').count();
            assert!(lines <= MAX_LINES, "{}: {lines} lines", asset.name);
        }
    }

    #[test]
    fn no_file_writes_html_or_runs_text() {
        for asset in ASSETS.iter().filter(|asset| asset.name != "preact-htm.js") {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
            ] {
                assert!(!text.contains(way), "{}: {way}", asset.name);
            }
        }
    }
}
