//! Writes the files of a new app, all or none.

use super::name::AppName;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The app's files: path and content.
const FILES: [(&str, &str); 11] = [
    ("Cargo.toml", include_str!("files/Cargo.toml.in")),
    ("README.md", include_str!("files/README.md.in")),
    (".gitignore", include_str!("files/gitignore.in")),
    (".github/workflows/ci.yml", include_str!("files/github/ci.yml.in")),
    ("rustfmt.toml", include_str!("files/rustfmt.toml.in")),
    ("src/lib.rs", include_str!("files/src/lib.rs.in")),
    ("src/course.rs", include_str!("files/src/course.rs.in")),
    ("src/courses.rs", include_str!("files/src/courses.rs.in")),
    ("src/main.rs", include_str!("files/src/main.rs.in")),
    ("src/bin/{{name}}-service.rs", include_str!("files/src/service.rs.in")),
    ("tests/whole_line.rs", include_str!("files/tests/whole_line.rs.in")),
];
/// The crates that the app depends on, and their folders in the repository.
const CRATES: [(&str, &str); 4] = [
    ("ledgerfold", "infra"),
    ("eventstore", "eventstore"),
    ("handlers", "handlers"),
    ("projections", "projections"),
];

/// Why no app was created.
#[derive(Debug, thiserror::Error)]
pub(super) enum StarterError {
    /// The folder is not empty.
    #[error("the folder exists and is not empty: choose another one with --path")]
    Exists,
    /// The folder has no crates.
    #[error("{} has no {missing}: --crates must be a checkout of Ledgerfold's repository", .folder.display())]
    NoCrates {
        /// The folder.
        folder: PathBuf,
        /// The missing file.
        missing: String,
    },
    /// The folder's path cannot be written in a manifest.
    #[error("the path of the crates is not UTF-8")]
    Path,
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The source of Ledgerfold's crates.
pub(super) struct Crates {
    /// The dependency in the manifest, by crate.
    dependencies: Vec<(&'static str, String)>,
    /// The repository's lock file; none for published crates, which Cargo resolves.
    lock: Option<String>,
}

impl Crates {
    /// The published crates of this version.
    pub(super) fn published() -> Self {
        let version = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
        Self { dependencies: CRATES.map(|(name, _)| (name, version.clone())).into(), lock: None }
    }

    /// The crates of a checkout.
    pub(super) fn of_folder(folder: &Path) -> Result<Self, StarterError> {
        let folder = folder.canonicalize().map_err(|source| unusable(folder, source))?;
        let mut dependencies = Vec::new();
        for (name, place) in CRATES {
            let path = folder.join(place);
            if !path.join("Cargo.toml").is_file() {
                return Err(StarterError::NoCrates {
                    missing: format!("{place}/Cargo.toml"),
                    folder,
                });
            }
            let path = path.to_str().ok_or(StarterError::Path)?;
            // A JSON string is a TOML string.
            dependencies.push((name, format!("path = {}", serde_json::Value::from(path))));
        }
        let lock = folder.join("Cargo.lock");
        let lock = fs::read_to_string(&lock).map_err(|source| unusable(&lock, source))?;
        Ok(Self { dependencies, lock: Some(lock) })
    }
}

/// A new app.
pub(super) struct Starter<'a> {
    /// Its name.
    pub(super) name: &'a AppName,
    /// The source of its crates.
    pub(super) crates: &'a Crates,
}

impl Starter<'_> {
    /// Writes all files into a temporary folder, then renames it.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StarterError> {
        if !is_free(folder)? {
            return Err(StarterError::Exists);
        }
        let parent = folder
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let temporary = tempfile::Builder::new()
            .prefix(".ledgerfold-new-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .map_err(|source| unusable(parent, source))?;
        for (path, text) in FILES {
            write(&temporary.path().join(self.filled(path)), &self.filled(text))?;
        }
        if let Some(lock) = &self.crates.lock {
            write(&temporary.path().join("Cargo.lock"), lock)?;
        }
        // This replaces an empty folder.
        fs::rename(temporary.path(), folder).map_err(|source| unusable(folder, source))?;
        // It was renamed, so there is nothing to remove.
        let _ = temporary.keep();
        Ok(())
    }

    /// Fills in the app's name and crates.
    fn filled(&self, text: &str) -> String {
        let mut text =
            text.replace("{{name}}", self.name.as_str()).replace("{{crate}}", &self.name.in_code());
        text = text.replace("{{rust}}", env!("CARGO_PKG_RUST_VERSION"));
        for (name, dependency) in &self.crates.dependencies {
            text = text.replace(&format!("{{{{{name}}}}}"), dependency);
        }
        text
    }
}

/// Whether the folder is missing or empty.
fn is_free(folder: &Path) -> Result<bool, StarterError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(unusable(folder, error)),
    }
}

fn write(path: &Path, text: &str) -> Result<(), StarterError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: io::Error) -> StarterError {
    StarterError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::{Crates, Starter};

    #[test]
    fn all_placeholders_are_filled() {
        let (name, crates) = ("book-shop".parse().unwrap(), Crates::published());
        let starter = Starter { name: &name, crates: &crates };
        for (path, text) in super::FILES {
            let (path, text) = (starter.filled(path), starter.filled(text));
            assert!(!path.contains("{{") && !text.contains("{{"), "{path}: {text}");
        }
    }
}
