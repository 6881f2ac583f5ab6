//! Answers that are files: comma-separated values (RFC 4180).

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// A file with comma-separated values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Its name, without the ending; an id of ours.
    pub(crate) name: String,
    /// Its lines, that of the names included.
    pub(crate) lines: Vec<Vec<String>>,
}

impl IntoResponse for File {
    fn into_response(self) -> Response {
        let mut text = String::new();
        for line in &self.lines {
            let cells: Vec<String> = line.iter().map(|cell| quoted(cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        let kind = HeaderValue::from_static("text/csv; charset=utf-8");
        let mut response = ([(header::CONTENT_TYPE, kind)], text).into_response();
        let named = format!("attachment; filename=\"{}.csv\"", self.name);
        if let Ok(named) = HeaderValue::from_str(&named) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, named);
        }
        response
    }
}

/// A cell as it stands in a line.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must() {
        for (cell, written) in [
            ("", ""),
            ("8944", "8944"),
            ("a, b", "\"a, b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("两行\n", "\"两行\n\""),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }

    #[test]
    fn a_file_says_what_it_is() {
        let lines = vec![vec!["a".to_owned(), "b".to_owned()], vec!["1".to_owned(), String::new()]];
        let response = File { name: "gop_1".to_owned(), lines }.into_response();
        assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
        let named = &response.headers()["content-disposition"];
        assert_eq!(named, "attachment; filename=\"gop_1.csv\"");
    }
}
