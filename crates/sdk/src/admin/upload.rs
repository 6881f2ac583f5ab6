//! Uploads of files to be imported, part by part, from wherever an earlier upload stopped.

use std::io::{Read, Seek, SeekFrom};

use reqwest::Method;
use sha2::{Digest, Sha256};
use wire::admin::import::{CSV, ERRORS_MAX, Import, ImportPart, NewImport, PART_BYTES_MAX};

use super::{Client, Error};

/// What a file is, before it is uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Reads a file through once.
pub fn examine(file: &mut (impl Read + Seek)) -> Result<Examined, Error> {
    file.rewind()?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    loop {
        let length = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..length).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
        bytes += u64::try_from(length).unwrap_or(u64::MAX);
    }
    Ok(Examined { bytes, sha256: hex::encode(hash.finalize()) })
}

impl Client {
    /// Begins an import, or finds the one of the same file that is not applied yet.
    pub async fn begin_import(&self, mode: &str, new: &NewImport) -> Result<Import, Error> {
        self.call(Method::POST, &[mode, "imports"], &[], Some(new)).await
    }

    /// Stages what is not staged yet of an import's file, and tells of each part. It stops early when the
    /// import has as many errors as it keeps.
    pub async fn stage(
        &self,
        mode: &str,
        import: &Import,
        file: &mut (impl Read + Seek),
        mut told: impl FnMut(&ImportPart),
    ) -> Result<(), Error> {
        let (mut number, mut staged) = (import.parts, u64::try_from(import.bytes).unwrap_or(0));
        loop {
            file.seek(SeekFrom::Start(staged))?;
            let body = next_part(file)?;
            if body.is_empty() {
                return Ok(());
            }
            number += 1;
            staged += u64::try_from(body.len()).unwrap_or(u64::MAX);
            let text = number.to_string();
            let path = [mode, "imports", &import.import_id, "parts", &text];
            let answer = self.send(Method::PUT, &path, &[], Some((CSV, body))).await?;
            let part: ImportPart = serde_json::from_str(&answer.text)
                .map_err(|error| super::unreadable(&error.to_string(), &answer.text))?;
            told(&part);
            if part.error_count >= ERRORS_MAX {
                return Ok(());
            }
        }
    }

    /// Has an import validated, and applied unless it is a dry run.
    pub async fn apply_import(&self, mode: &str, id: &str, dry_run: bool) -> Result<Import, Error> {
        let dry_run = if dry_run { "true" } else { "false" };
        let path = [mode, "imports", id, "apply"];
        self.call(Method::POST, &path, &[("dry_run", dry_run)], None::<&()>).await
    }

    /// How far an import is.
    pub async fn import(&self, mode: &str, id: &str) -> Result<Import, Error> {
        self.get(&[mode, "imports", id], &[]).await
    }
}

/// As many whole lines as a part holds; the last line of the file may have no end.
fn next_part(file: &mut impl Read) -> Result<Vec<u8>, Error> {
    let limit = u64::try_from(PART_BYTES_MAX).unwrap_or(u64::MAX);
    let mut body = Vec::with_capacity(PART_BYTES_MAX);
    file.by_ref().take(limit).read_to_end(&mut body)?;
    if body.len() == PART_BYTES_MAX
        && let Some(end) = body.iter().rposition(|byte| *byte == b'\n')
    {
        body.truncate(end + 1);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn parts_are_whole_lines_and_make_up_the_file() {
        let line = "x".repeat(99) + "\n";
        let file = line.repeat(PART_BYTES_MAX / 40) + "the end";
        let (mut parts, mut staged) = (Vec::new(), 0);
        loop {
            let part = next_part(&mut Cursor::new(&file.as_bytes()[staged..])).unwrap();
            if part.is_empty() {
                break;
            }
            staged += part.len();
            parts.push(part);
        }
        assert_eq!(parts.len(), 3);
        assert!(
            parts[..2].iter().all(|part| part.ends_with(b"\n") && part.len() <= PART_BYTES_MAX)
        );
        assert_eq!(parts.concat(), file.as_bytes());
        let known = examine(&mut Cursor::new("abc")).unwrap();
        assert_eq!(known.bytes, 3);
        assert!(known.sha256.starts_with("ba7816bf"), "{}", known.sha256);
    }
}
