//! Checks the documents: links have a target, named files and tests exist, and the tutorial shows
//! the code of the app.

use std::path::{Path, PathBuf};

const BOOK: &str = "infra/docs/src";
/// Documents outside the book.
const AT_THE_ROOT: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages of the book, as paths from the root.
fn pages() -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(BOOK)]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found.sort();
    found
}

fn documents() -> Vec<String> {
    AT_THE_ROOT.map(str::to_owned).into_iter().chain(pages()).collect()
}

/// The lines of prose with their numbers, without blocks of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((number + 1, line))
    })
}

/// The anchor that GitHub and mdBook give a heading.
fn anchor(heading: &str) -> String {
    let kept =
        heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line.trim_start_matches('#'))).collect()
}

/// The targets of links and pictures.
fn links(text: &str) -> Vec<String> {
    let prose: String = prose(text).map(|(_, line)| format!("{line}\n")).collect();
    let inline = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned());
    let included = prose.split("{{#include ").skip(1).filter_map(|rest| rest.split_once("}}"));
    inline.chain(included.map(|(target, _)| target.to_owned())).collect()
}

/// Links to other sites are not followed, because there is no network.
#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        let text = text_of(&document);
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = root().join(&document).parent().unwrap().join(path);
            assert!(path.is_empty() || target.exists(), "{document}: there is no {link}");
            if !fragment.is_empty() {
                let there = if path.is_empty() {
                    text.clone()
                } else {
                    std::fs::read_to_string(&target).unwrap()
                };
                assert!(
                    anchors(&there).iter().any(|anchor| anchor == fragment),
                    "{document}: no heading {link}"
                );
            }
        }
    }
}

#[test]
fn the_summary_lists_every_page_once() {
    let listed = links(&text_of("infra/docs/src/SUMMARY.md"));
    for page in pages().iter().map(|page| page.strip_prefix("infra/docs/src/").unwrap()) {
        let times = listed.iter().filter(|link| *link == page).count();
        assert_eq!(times, usize::from(page != "SUMMARY.md"), "{page}");
    }
}

/// These pages name files relative to an app.
const OF_AN_APP: [&str; 2] =
    ["infra/docs/src/how-to/new-app.md", "infra/docs/src/tutorial/billing.md"];
/// Paths that begin with these are paths of the repository.
const CRATES: [&str; 6] =
    ["domain/", "eventstore/", "projections/", "handlers/", "infra/", "tests/"];

/// A file may be named without its folder if the row has named the folder. A test follows its file.
#[test]
fn every_file_and_test_that_a_document_names_exists() {
    let mut tests = 0;
    for document in documents().iter().filter(|document| !OF_AN_APP.contains(&document.as_str())) {
        for (number, line) in prose(&text_of(document)) {
            let place = format!("{document}:{number}");
            let (mut folder, mut file) = (root(), None);
            for word in line.split('`').skip(1).step_by(2) {
                if word.ends_with(".rs") {
                    let places = [root().join("tests/suite"), root(), folder.clone()]
                        .map(|folder| folder.join(word));
                    let found = places.into_iter().find(|path| path.is_file());
                    let found = found.unwrap_or_else(|| panic!("{place}: there is no file {word}"));
                    found.parent().unwrap().clone_into(&mut folder);
                    file = Some(found);
                } else if is_test(word) {
                    let file: &PathBuf = file
                        .as_ref()
                        .unwrap_or_else(|| panic!("{place}: {word} stands behind no file"));
                    let text = std::fs::read_to_string(file).unwrap();
                    assert!(
                        text.contains(&format!("fn {word}(")),
                        "{place}: {} has no {word}",
                        file.display()
                    );
                    tests += 1;
                } else if CRATES.iter().any(|name| word.starts_with(name))
                    && !word.contains([' ', '<'])
                {
                    folder = root().join(word);
                    assert!(folder.exists(), "{place}: there is no {word}");
                }
            }
        }
    }
    assert!(tests > 150, "{tests} tests are named");
}

fn is_test(word: &str) -> bool {
    word.matches('_').count() > 2
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Excerpts of the second app. A line `// …` marks a cut.
#[test]
fn the_book_shows_the_code_of_the_second_app() {
    let app: Vec<String> = ["main.rs", "account.rs", "subscription.rs"]
        .iter()
        .map(|file| text_of(&format!("tests/billing/{file}")))
        .collect();
    let mut excerpts = 0;
    for page in ["tutorial/billing.md", "how-to/read-model.md", "how-to/process.md"] {
        for block in text_of(&format!("{BOOK}/{page}")).split("```rust\n").skip(1) {
            let (block, _) = block.split_once("```").unwrap();
            for (mut excerpt, rest) in cuts(block) {
                excerpt = excerpt.trim_end();
                assert!(
                    app.iter().any(|file| file.contains(excerpt)),
                    "{page}: no such code:\n{excerpt}\n{rest}"
                );
                excerpts += 1;
            }
        }
    }
    assert!(excerpts > 20, "{excerpts}");
}

/// The pieces of a block between its cuts, each with the block for the message.
fn cuts(block: &str) -> Vec<(&str, &str)> {
    let (mut pieces, mut begin, mut at) = (Vec::new(), 0, 0);
    for line in block.split_inclusive('\n') {
        if line.trim() == "// …" {
            pieces.push((&block[begin..at], block));
            begin = at + line.len();
        }
        at += line.len();
    }
    pieces.push((&block[begin..], block));
    pieces.into_iter().filter(|(piece, _)| !piece.trim().is_empty()).collect()
}

#[test]
fn the_second_app_is_as_long_as_the_tutorial_says() {
    let app = ["main.rs", "account.rs", "subscription.rs"];
    let lines: usize =
        app.iter().map(|file| text_of(&format!("tests/billing/{file}")).lines().count()).sum();
    assert!(lines <= 400, "{lines} lines");
    for document in ["README.md", "infra/docs/src/tutorial/billing.md"] {
        let words: Vec<String> = text_of(document).split_whitespace().map(str::to_owned).collect();
        assert!(
            words.join(" ").contains(&format!("{lines} lines")),
            "{document}: it is {lines} lines"
        );
    }
}

#[test]
fn documents_are_short_and_narrow() {
    for (document, most) in [("README.md", 150), ("ARCHITECTURE.md", 200)] {
        let lines = text_of(document).lines().count();
        assert!(lines <= most, "{document} has {lines} lines");
    }
    for document in documents() {
        for (number, line) in prose(&text_of(&document)) {
            let is_bound = !line.starts_with('|') && !line.starts_with('[') && !line.contains("](");
            assert!(
                !is_bound || line.chars().count() <= 100,
                "{document}:{number}: more than 100 columns"
            );
        }
    }
}

/// Without tables, headings and code.
#[test]
fn sentences_have_at_most_forty_words() {
    for document in documents() {
        let mut paragraphs = vec![String::new()];
        for (_, line) in prose(&text_of(&document)) {
            let begins = line.trim().is_empty()
                || line.starts_with(['|', '#'])
                || line.trim_start().starts_with("- ");
            if begins {
                paragraphs.push(String::new());
            }
            if !line.starts_with(['|', '#', '<', '[']) {
                paragraphs.last_mut().unwrap().push_str(&format!("{line} "));
            }
        }
        for sentence in
            paragraphs.iter().flat_map(|paragraph| paragraph.split(['.', '?', ':', ';']))
        {
            let words = sentence
                .split_whitespace()
                .filter(|word| word.contains(char::is_alphanumeric))
                .count();
            assert!(words <= 40, "{document}: {words} words: {sentence}");
        }
    }
}
