//! The plan of the house, as a test: an arrow between two crates goes down only.
//!
//! Cargo forbids cycles and nothing else; what each floor may see is written here, and in prose in
//! ARCHITECTURE.md. The manifests and the sources are read as they stand, so nothing is built and
//! nothing is fetched.

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand};

/// Which crates of the workspace a crate may use in what it ships.
enum Sees {
    /// These and no others.
    Only(&'static [&'static str]),
    /// All of them: it supports the tests and is never shipped.
    Everything,
}

/// Every crate of the workspace, from the ground up.
const FLOORS: &[(&str, Sees)] = &[
    ("domain", Sees::Only(&[])),
    ("wire", Sees::Only(&["domain"])),
    ("store", Sees::Only(&["domain"])),
    ("carriers", Sees::Only(&["domain"])),
    ("cashiers", Sees::Only(&["domain"])),
    ("pushes", Sees::Only(&["domain"])),
    ("mall", Sees::Only(&["domain", "wire", "store", "carriers", "cashiers", "pushes"])),
    // The two faces do not know each other.
    ("api", Sees::Only(&["domain", "wire", "mall"])),
    ("web", Sees::Only(&["domain", "wire", "mall"])),
    (
        "server",
        Sees::Only(&[
            "domain",
            "wire",
            "store",
            "carriers",
            "cashiers",
            "pushes",
            "mall",
            "api",
            "web",
            "sdk",
            "upstream",
            "stripe_double",
        ]),
    ),
    // The networks that carriers speak to, played: it must not share a client's mistakes.
    ("upstream", Sees::Only(&["domain"])),
    // Stripe, played: it must not share a mistake of the client.
    ("stripe_double", Sees::Only(&[])),
    // What a partner builds into a program of its own: the wire and nothing of the house.
    ("sdk", Sees::Only(&["wire"])),
    ("testkit", Sees::Everything),
    // It measures the house and the bare database beside it.
    ("bench", Sees::Everything),
];

/// A crate from outside that stays on its floor.
struct Kept {
    name: &'static str,
    floors: &'static [&'static str],
    /// Whether the tests of any crate may use it all the same.
    free_in_tests: bool,
    reason: &'static str,
}

const KEPT: &[Kept] = &[
    Kept {
        name: "sqlx",
        floors: &["store", "testkit", "bench"],
        free_in_tests: false,
        reason: "all SQL lives in `store`, where it is checked on both engines; put the query there",
    },
    Kept {
        name: "axum",
        floors: &["api", "web", "server", "testkit"],
        free_in_tests: false,
        reason: "a business decision does not know that HTTP exists; \
                 put the handler into `api` or `web`, a pretended server into `testkit`",
    },
    Kept {
        name: "reqwest",
        floors: &["carriers", "cashiers", "pushes", "sdk", "testkit"],
        free_in_tests: true,
        reason: "a network call goes through a carrier, a cashier or `pushes`, so that none is made while \
                 a transaction is open; put the call behind one of their traits",
    },
];

/// A file that is longer hides a second subject.
const SOURCE_LINES_MAX: usize = 600;

#[test]
fn every_arrow_goes_down() {
    let mut wrong = Vec::new();
    for package in metadata().workspace_packages() {
        let name = package.name.as_str();
        let Some((_, sees)) = FLOORS.iter().find(|(floor, _)| *floor == name) else {
            wrong.push(format!(
                "`{name}` has no floor: say in FLOORS, in crates/server/tests/it/arrows.rs, \
                 what it may see, and draw it in ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|it| is_ours(it) && is_shipped(it)) {
            let below = dependency.name.as_str();
            match sees {
                Sees::Only(_) if below == "testkit" => wrong.push(format!(
                    "`{name}` ships `testkit`, which is for tests: \
                     move it to [dev-dependencies] in crates/{name}/Cargo.toml"
                )),
                Sees::Only(allowed) if !allowed.contains(&below) => wrong.push(format!(
                    "`{name}` may not see `{below}`, only {allowed:?}: move the code that needs it \
                     to a floor that sees both, or change the plan in FLOORS and ARCHITECTURE.md"
                )),
                Sees::Only(_) | Sees::Everything => {}
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn databases_http_and_network_stay_on_their_floors() {
    let mut wrong = Vec::new();
    for package in metadata().workspace_packages() {
        let name = package.name.as_str();
        for kept in KEPT.iter().filter(|kept| !kept.floors.contains(&name)) {
            let uses = package.dependencies.iter().any(|dependency| {
                dependency.name == kept.name && (is_shipped(dependency) || !kept.free_in_tests)
            });
            if uses {
                wrong.push(format!(
                    "`{name}` may not depend on `{}`, which is for {:?}: {}",
                    kept.name, kept.floors, kept.reason
                ));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_dependency_stands_in_the_workspace_and_says_what_it_is_for() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    let root = read(metadata.workspace_root.join("Cargo.toml").as_std_path());
    for entry in dependency_entries(&root) {
        let packed = without_strings(entry).replace(' ', "");
        let is_ours = packed.contains("{path=") || packed.contains(",path=");
        let has_reason = packed.split_once('#').is_some_and(|(_, reason)| !reason.is_empty());
        if !is_ours && !has_reason {
            wrong.push(format!(
                "Cargo.toml: the dependency `{entry}` does not say what it is for: \
                 write it on one line of [workspace.dependencies] and end it with `# its use here`"
            ));
        }
    }
    for package in metadata.workspace_packages() {
        let manifest = read(package.manifest_path.as_std_path());
        for entry in dependency_entries(&manifest) {
            if !entry.replace(' ', "").contains("workspace=true") {
                wrong.push(format!(
                    "crates/{}/Cargo.toml: the dependency `{entry}` is not the workspace's: put it \
                     into [workspace.dependencies] and write `{{ workspace = true }}` here",
                    package.name
                ));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_crate_inherits_the_lints() {
    let mut wrong = Vec::new();
    for package in metadata().workspace_packages() {
        let manifest = read(package.manifest_path.as_std_path());
        if !manifest.contains("\n[lints]\nworkspace = true\n") {
            wrong.push(format!(
                "`{0}` does not inherit the lints of the workspace: \
                 write `[lints]` and `workspace = true` into crates/{0}/Cargo.toml",
                package.name
            ));
        }
    }
    assert_none(&wrong);
}

#[test]
fn no_source_file_is_too_long() {
    let mut wrong = Vec::new();
    for package in metadata().workspace_packages() {
        let sources = rust_files(package.manifest_path.with_file_name("src").as_std_path());
        assert!(!sources.is_empty(), "`{}` has no sources: look where they went", package.name);
        for file in sources {
            let lines = read(&file).lines().count();
            if lines > SOURCE_LINES_MAX {
                wrong.push(format!(
                    "{} has {lines} lines, more than {SOURCE_LINES_MAX}: \
                     find the second subject in it and give it a file of its own",
                    file.display()
                ));
            }
        }
    }
    assert_none(&wrong);
}

/// The members of the workspace with the dependencies their manifests name. Without `no_deps` Cargo
/// would resolve, and perhaps fetch, the whole tree.
fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo describes the workspace that it is testing")
}

fn is_ours(dependency: &Dependency) -> bool {
    dependency.path.is_some()
}

/// A build script runs on the builder's machine, but what it uses shapes what is shipped.
fn is_shipped(dependency: &Dependency) -> bool {
    dependency.kind != DependencyKind::Development
}

/// The entries of all dependency sections of a manifest. A dependency with a section of its own,
/// such as `[dependencies.serde]`, is given by its header. A manifest is read as text because its
/// comments, and what it inherits, are lost in Cargo's own description.
fn dependency_entries(manifest: &str) -> Vec<&str> {
    let mut entries = Vec::new();
    let mut in_dependencies = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
            if line.contains("dependencies.") {
                entries.push(line);
            }
        } else if in_dependencies && !line.is_empty() && !line.starts_with([' ', '#', ']', '}']) {
            entries.push(line);
        }
    }
    entries
}

/// The line without what stands between quotes, where a `#` starts no comment.
fn without_strings(line: &str) -> String {
    line.split('"').step_by(2).collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a crate has a directory of sources") {
        let path = entry.expect("a directory that was just opened can be listed").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
