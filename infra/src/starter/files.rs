//! The files of an app, and writing them whole or not at all.

use super::name::AppName;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The app's files: where each goes, and what it is made of.
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
/// The crates that the app names, and their folders in the repository.
const CRATES: [(&str, &str); 4] =
    [("ledgerfold", "infra"), ("eventstore", "eventstore"), ("handlers", "handlers"), ("projections", "projections")];

/// Why no app was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum StarterError {
    /// Something is there.
    #[error("the folder is there and not empty: name another one with --path")]
    Exists,
    /// The crates are not there.
    #[error("{} has no {missing}: --crates names the folder of Ledgerfold's repository", .folder.display())]
    NoCrates {
        /// What was named.
        folder: PathBuf,
        /// What is not in it.
        missing: String,
    },
    /// The crates' folder cannot be said in a manifest.
    #[error("the path of the crates is no UTF-8 text")]
    Path,
    /// A file could not be written or read.
    #[error("{} cannot be used", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where the app has Ledgerfold's crates from.
pub(super) struct Crates {
    /// How its manifest names each crate, by name.
    dependencies: Vec<(&'static str, String)>,
    /// The versions of all crates, as they are tested together; nothing for published ones, which
    /// Cargo resolves.
    lock: Option<String>,
}

impl Crates {
    /// The published ones of this version.
    pub(super) fn published() -> Self {
        let version = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
        Self { dependencies: CRATES.map(|(name, _)| (name, version.clone())).into(), lock: None }
    }

    /// Those of a copy of the repository.
    pub(super) fn of_folder(folder: &Path) -> Result<Self, StarterError> {
        let folder = folder.canonicalize().map_err(|source| unusable(folder, source))?;
        let mut dependencies = Vec::new();
        for (name, place) in CRATES {
            let path = folder.join(place);
            if !path.join("Cargo.toml").is_file() {
                return Err(StarterError::NoCrates { missing: format!("{place}/Cargo.toml"), folder });
            }
            let path = path.to_str().ok_or(StarterError::Path)?;
            // A string of JSON is one of TOML.
            dependencies.push((name, format!("path = {}", serde_json::Value::from(path))));
        }
        let lock = folder.join("Cargo.lock");
        let lock = fs::read_to_string(&lock).map_err(|source| unusable(&lock, source))?;
        Ok(Self { dependencies, lock: Some(lock) })
    }
}

/// An app that is to be made.
pub(super) struct Starter<'a> {
    /// What it is called.
    pub(super) name: &'a AppName,
    /// Where its crates come from.
    pub(super) crates: &'a Crates,
}

impl Starter<'_> {
    /// Writes all files into a folder beside `folder`, and gives it that name when they are
    /// complete.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StarterError> {
        if !is_free(folder)? {
            return Err(StarterError::Exists);
        }
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = tempfile::Builder::new()
            .prefix(".ledgerfold-new-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .map_err(|source| unusable(parent, source))?;
        for (path, text) in FILES {
            write(&beside.path().join(self.filled(path)), &self.filled(text))?;
        }
        if let Some(lock) = &self.crates.lock {
            write(&beside.path().join("Cargo.lock"), lock)?;
        }
        // An empty folder of that name is replaced.
        fs::rename(beside.path(), folder).map_err(|source| unusable(folder, source))?;
        // It is gone under its first name: there is nothing to remove.
        let _ = beside.keep();
        Ok(())
    }

    /// The text with the app's name and crates in it.
    fn filled(&self, text: &str) -> String {
        let mut text = text.replace("{{name}}", self.name.as_str()).replace("{{crate}}", &self.name.in_code());
        text = text.replace("{{rust}}", env!("CARGO_PKG_RUST_VERSION"));
        for (name, dependency) in &self.crates.dependencies {
            text = text.replace(&format!("{{{{{name}}}}}"), dependency);
        }
        text
    }
}

/// Whether nothing is there, or an empty folder.
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
    fn no_placeholder_stays() {
        let (name, crates) = ("book-shop".parse().unwrap(), Crates::published());
        let starter = Starter { name: &name, crates: &crates };
        for (path, text) in super::FILES {
            let (path, text) = (starter.filled(path), starter.filled(text));
            assert!(!path.contains("{{") && !text.contains("{{"), "{path}: {text}");
        }
    }
}
