//! The key that seals secrets at rest: 64 hexadecimal digits in a file or in the environment.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use domain::Ctx;
use store::Sealer;

/// Reads the key from wherever it is given.
pub(crate) fn sealer(text: Option<&str>, file: Option<&Path>) -> anyhow::Result<Sealer> {
    match (text, file) {
        (Some(text), None) => parse(text).context("SIMMALL_SEALING_KEY"),
        (None, Some(file)) => read(file),
        (Some(_), Some(_)) => bail!("give the sealing key or its file, not both"),
        (None, None) => bail!(
            "no sealing key: give --sealing-key-file FILE or SIMMALL_SEALING_KEY; \
             `openssl rand -hex 32` makes one"
        ),
    }
}

/// Reads the key from a file.
fn read(file: &Path) -> anyhow::Result<Sealer> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the sealing key cannot be read from {}", file.display()))?;
    let sealer = parse(text.trim()).with_context(|| format!("in {}", file.display()))?;
    warn_of_readers(file);
    Ok(sealer)
}

/// Reads the key from a file, which is made first if it is not there.
pub(crate) fn read_or_create(ctx: &Ctx, file: &Path) -> anyhow::Result<Sealer> {
    if !file.exists() {
        write_secret(file, &hex::encode(ctx.random::<32>()))
            .with_context(|| format!("the sealing key cannot be written to {}", file.display()))?;
    }
    read(file)
}

/// A key that others on the machine can read is worth a warning, but no refusal: some secret stores know
/// no better.
fn warn_of_readers(file: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = file.metadata()
        && std::os::unix::fs::MetadataExt::mode(&metadata) & 0o077 != 0
    {
        tracing::warn!(file = %file.display(), "the sealing key can be read by others: chmod 600");
    }
}

/// Writes a secret to a file that only its owner may read.
pub(crate) fn write_secret(file: &Path, text: &str) -> std::io::Result<()> {
    // Written beside and moved: one cut short by a crash must not be taken for the whole.
    let unfinished = file.with_extension("unfinished");
    write_new(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, file))
}

/// Writes a file that only its owner may read.
fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut created = options.open(file)?;
    writeln!(created, "{text}")?;
    created.sync_all()
}

fn parse(text: &str) -> anyhow::Result<Sealer> {
    let mut key = [0; 32];
    // The key's text must not get into the error.
    hex::decode_to_slice(text, &mut key)
        .map_err(|_| anyhow::anyhow!("a sealing key is 64 hexadecimal digits"))?;
    Ok(Sealer::new(&key))
}
