//! The worked example of FORMAT.md section 12: the bytes of a segment, field by field.
//!
//! Owns the dump in FORMAT.md: made from the golden file `example`, compared with what stands there, and written
//! there when golden files are written.

use super::{example, writing};
use crate::scribe::{PAGE, u16_at, u32_at, u64_at};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// How a field is shown.
#[derive(Clone, Copy)]
enum As {
    Number,
    Text,
    Hex,
    Zeros,
}
use As::{Hex, Number, Text, Zeros};

const HEADER: [(usize, As, &str); 20] = [
    (8, Text, "magic"),
    (2, Number, "format version"),
    (2, Number, "layout (0 is raw)"),
    (4, Number, "offset of the first frame"),
    (4, Number, "features that may be ignored"),
    (4, Number, "features that forbid writing"),
    (4, Number, "features that forbid reading"),
    (4, Zeros, "zero"),
    (16, Hex, "log id"),
    (8, Hex, "salt"),
    (8, Number, "ordinal"),
    (8, Number, "base position"),
    (8, Number, "capacity"),
    (8, Number, "time of creation"),
    (8, Number, "salt of the previous segment"),
    (8, Number, "end of the previous segment"),
    (4, Number, "last frame checksum of the previous segment"),
    (4, Zeros, "zero"),
    (3980, Zeros, "zeros"),
    (4, Hex, "checksum of bytes 0..4092"),
];

const FRAME: [(usize, As, &str); 14] = [
    (4, Text, "FRAME: magic"),
    (1, Number, "kind"),
    (3, Zeros, "zero"),
    (4, Number, "number of sections"),
    (4, Number, "number of events"),
    (8, Number, "body length"),
    (8, Number, "first position"),
    (8, Number, "time"),
    (8, Number, "batch number"),
    (8, Number, "batch start"),
    (4, Hex, "checksum of the frame before"),
    (4, Hex, "checksum of the body"),
    (4, Zeros, "zero"),
    (4, Hex, "frame checksum"),
];

const ENTRY: [(usize, As, &str); 6] = [
    (8, Number, "SECTION TABLE: first version"),
    (4, Number, "number of events"),
    (4, Number, "length of the section"),
    (4, Hex, "checksum of the id block"),
    (1, Number, "kind (1 is events)"),
    (3, Zeros, "zero"),
];

struct Dump<'a> {
    image: &'a [u8],
    at: usize,
    text: String,
}

impl Dump<'_> {
    fn field(&mut self, len: usize, shown: As, what: &str) {
        let bytes = &self.image[self.at..self.at + len];
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let number = bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let hex = if len > 16 { format!("{len} zero bytes") } else { hex.join(" ") };
        let what = match shown {
            Number => format!("{what}: {number}"),
            Text => format!("{what}: \"{}\"", bytes.escape_ascii()),
            Hex => what.to_owned(),
            Zeros => {
                assert!(bytes.iter().all(|byte| *byte == 0), "{what}");
                what.to_owned()
            }
        };
        if len > 0 {
            writeln!(self.text, "{:06x}  {hex:<47}  {what}", self.at).unwrap();
        }
        self.at += len;
    }

    fn fields(&mut self, fields: &[(usize, As, &str)]) {
        fields.iter().for_each(|(len, shown, what)| self.field(*len, *shown, what));
    }

    fn padding(&mut self) {
        self.field(self.at.next_multiple_of(8) - self.at, Zeros, "padding");
    }

    fn number_at(&self, ahead: usize) -> usize {
        u32_at(self.image, self.at + ahead) as usize
    }

    fn frame(&mut self) {
        let head = self.at;
        self.fields(&FRAME);
        let sections = u32_at(self.image, head + 8) as usize;
        let table: Vec<_> = (0..sections)
            .map(|i| (head + 72 + 24 * i, u32_at(self.image, head + 84 + 24 * i) as usize))
            .collect();
        table.iter().for_each(|_| self.fields(&ENTRY));
        for (_, len) in table {
            let end = self.at + len;
            self.section();
            while self.at < end {
                self.event();
            }
            assert_eq!(self.at, end);
        }
    }

    fn section(&mut self) {
        let lengths = [0, 2].map(|ahead| usize::from(u16_at(self.image, self.at + ahead)));
        self.field(2, Number, "SECTION: length of the id");
        self.field(2, Number, "length of the tenant");
        self.field(lengths[0], Text, "id");
        self.field(lengths[1], Text, "tenant");
        self.padding();
    }

    fn event(&mut self) {
        let (payload, metadata) = (self.number_at(4), self.number_at(8));
        let (event_type, flags) =
            (usize::from(u16_at(self.image, self.at + 12)), u16_at(self.image, self.at + 14));
        self.field(4, Hex, "EVENT: checksum");
        self.field(4, Number, "payload length");
        self.field(4, Number, "metadata length");
        self.field(2, Number, "type length");
        self.field(2, Number, "flags");
        self.field(usize::from(flags & 1) * 16, Hex, "event id");
        self.field(event_type, Text, "type");
        self.field(metadata, Text, "metadata");
        self.field(payload, Text, "payload");
        self.padding();
    }
}

fn dump(image: &[u8]) -> String {
    let mut dump = Dump { image, at: 0, text: String::new() };
    dump.fields(&HEADER);
    while u64_at(image, dump.at) != 0 {
        dump.frame();
    }
    let rest = image.len() - dump.at - PAGE;
    dump.field(rest, Zeros, "zeros, up to the footer");
    dump.field(PAGE, Zeros, "the footer, while the segment is not sealed");
    dump.text
}

/// Reads a dump back into bytes.
fn undump(text: &str) -> Vec<u8> {
    let mut image = Vec::new();
    for line in text.lines() {
        let (offset, rest) = line.split_once("  ").unwrap();
        assert_eq!(usize::from_str_radix(offset, 16).unwrap(), image.len(), "{line}");
        let hex = rest.split("  ").next().unwrap();
        match hex.strip_suffix(" zero bytes") {
            Some(count) => image.resize(image.len() + count.parse::<usize>().unwrap(), 0),
            None => image.extend(hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap())),
        }
    }
    image
}

#[test]
fn golden_dump_in_the_format_is_the_golden_file() {
    let image = example().image();
    let dump = dump(&image);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("FORMAT.md");
    let text = fs::read_to_string(&path).unwrap();
    let chapter = text.find("\n## 12. A worked example\n").expect("the chapter");
    let start = chapter + text[chapter..].find("```text\n").expect("the dump") + "```text\n".len();
    let end = start + text[start..].find("```").expect("the end of the dump");
    if writing() {
        fs::write(&path, [&text[..start], &dump, &text[end..]].concat()).unwrap();
    } else {
        assert_eq!(text[start..end], dump);
    }
    assert!(undump(&dump) == image, "every byte of the segment is in the dump");
}
