//! What an ELF file needs to run: System V ABI "Object Files" and "Program Loading and Dynamic Linking", and the
//! GNU symbol versioning of LSB Core 5.0.
//!
//! Read by offsets out of the image, never whole; every count that the file states is bounded.

use std::collections::BTreeSet;

use quench_image::FileReader;

/// Most bytes of a dynamic string table. libLLVM, about the largest there is, has 15 MB.
const STRINGS_LIMIT: u64 = 64 << 20;

/// Most bytes of an ELF file in which literals are looked for.
const LITERALS_LIMIT: u64 = 512 << 20;

/// Longest literal of interest: a path.
const LITERAL_LENGTH: usize = 4096;

/// What is read from an ELF file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Elf {
    /// Class and machine: libraries must have the same.
    pub abi: (u8, u16),
    /// Program interpreter, for dynamically linked programs.
    pub interpreter: Option<String>,
    /// Libraries it names.
    pub needed: Vec<String>,
    pub soname: Option<String>,
    pub rpath: Vec<String>,
    pub runpath: Vec<String>,
    /// Symbol versions it needs: library and version; weak ones left out.
    pub versions_needed: Vec<(String, String)>,
    /// Symbol versions it defines.
    pub versions_defined: BTreeSet<String>,
    /// Functions it calls that run other programs or load other libraries.
    pub calls: BTreeSet<String>,
    /// Libraries it says it loads when running (`.note.dlopen`, systemd.io/ELF_DLOPEN_METADATA).
    pub dlopen: Vec<String>,
    /// Whether it has a dynamic section at all.
    pub dynamic: bool,
    /// Whether Go made it: its literals do not end where they end.
    pub go: bool,
    /// Non-executable data of the file: offset and length.
    data: Vec<(u64, u64)>,
}

/// Calls that matter: they run programs, by shell, by path or by name.
const CALLS: [&str; 17] = [
    "system",
    "popen",
    "wordexp",
    "execl",
    "execle",
    "execlp",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "posix_spawn",
    "posix_spawnp",
    "dlopen",
    "dlmopen",
    "g_module_open",
    "lt_dlopen",
    "lt_dlopenext",
];

impl Elf {
    /// Whether a file that begins with these bytes is ELF.
    pub fn is_elf(start: &[u8]) -> bool {
        start.starts_with(b"\x7fELF")
    }

    /// Reads an ELF file; the error is a reason without place.
    pub fn read(file: &FileReader) -> Result<Self, String> {
        Reader::new(file)?.read()
    }

    /// Whether it runs commands through the shell.
    pub fn calls_shell(&self) -> bool {
        ["system", "popen", "wordexp"]
            .iter()
            .any(|name| self.calls.contains(*name))
    }

    /// Whether it runs programs that it finds on `PATH`.
    pub fn searches_path(&self) -> bool {
        ["execlp", "execvp", "execvpe", "posix_spawnp"]
            .iter()
            .any(|name| self.calls.contains(*name))
    }

    /// Calls `each` with every printable text of three bytes or more in the file's data.
    pub fn literals(&self, file: &FileReader, each: &mut dyn FnMut(&str)) -> std::io::Result<()> {
        let mut left = LITERALS_LIMIT;
        let mut buffer = vec![0; 1 << 16];
        for (start, length) in &self.data {
            let mut text: Vec<u8> = Vec::new();
            let mut at = *start;
            let end = start.saturating_add(*length).min(file.length());
            while at < end && left > 0 {
                let wanted = usize::try_from((end - at).min(left)).unwrap_or(usize::MAX);
                let wanted = wanted.min(buffer.len());
                let chunk = buffer.get_mut(..wanted).unwrap_or_default();
                file.read_exact_at(chunk, at)?;
                at += chunk.len() as u64;
                left -= chunk.len() as u64;
                for byte in chunk.iter() {
                    if (0x20..0x7f).contains(byte) || *byte == b'\n' || *byte == b'\t' {
                        if text.len() < LITERAL_LENGTH {
                            text.push(*byte);
                        }
                        continue;
                    }
                    tell(&text, each);
                    text.clear();
                }
            }
            tell(&text, each);
        }
        Ok(())
    }
}

fn tell(text: &[u8], each: &mut dyn FnMut(&str)) {
    if text.len() >= 3
        && let Ok(text) = std::str::from_utf8(text)
    {
        each(text);
    }
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    size: u64,
}

struct Reader<'a> {
    file: &'a FileReader,
    wide: bool,
    little: bool,
    kind: u16,
    machine: u16,
    segments: Vec<Segment>,
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;

impl<'a> Reader<'a> {
    fn new(file: &'a FileReader) -> Result<Self, String> {
        let mut reader = Self {
            file,
            wide: true,
            little: true,
            kind: 0,
            machine: 0,
            segments: Vec::new(),
        };
        let ident = reader.bytes(0, 16)?;
        match ident.as_slice() {
            [0x7f, b'E', b'L', b'F', class @ (1 | 2), data @ (1 | 2), ..] => {
                reader.wide = *class == 2;
                reader.little = *data == 1;
            }
            _ => return Err("has a damaged ELF header".to_owned()),
        }
        reader.kind = reader.u16(16)?;
        reader.machine = reader.u16(18)?;
        let (table, size, count) = if reader.wide {
            (reader.word(32)?, reader.u16(54)?, reader.u16(56)?)
        } else {
            (reader.word(28)?, reader.u16(42)?, reader.u16(44)?)
        };
        let least = if reader.wide { 56 } else { 32 };
        if count > 0 && u64::from(size) < least {
            return Err("has a damaged ELF program header table".to_owned());
        }
        for number in 0..u64::from(count) {
            let at = table
                .checked_add(number * u64::from(size))
                .ok_or("has a damaged ELF program header table")?;
            let segment = if reader.wide {
                Segment {
                    kind: reader.u32(at)?,
                    flags: reader.u32(at + 4)?,
                    offset: reader.word(at + 8)?,
                    address: reader.word(at + 16)?,
                    size: reader.word(at + 32)?,
                }
            } else {
                Segment {
                    kind: reader.u32(at)?,
                    offset: reader.word(at + 4)?,
                    address: reader.word(at + 8)?,
                    size: reader.word(at + 16)?,
                    flags: reader.u32(at + 24)?,
                }
            };
            reader.segments.push(segment);
        }
        Ok(reader)
    }

    fn read(&self) -> Result<Elf, String> {
        let class = if self.wide { 2 } else { 1 };
        let mut elf = Elf {
            abi: (class, self.machine),
            ..Elf::default()
        };
        for segment in &self.segments {
            match segment.kind {
                PT_INTERP => {
                    let bytes = self.bytes(segment.offset, segment.size.min(4096))?;
                    elf.interpreter = Some(text(&bytes, 0));
                }
                PT_DYNAMIC => self.dynamic(segment, &mut elf)?,
                PT_NOTE => self.notes(segment, &mut elf),
                _ => {}
            }
        }
        self.sections(&mut elf);
        Ok(elf)
    }

    fn dynamic(&self, segment: &Segment, elf: &mut Elf) -> Result<(), String> {
        elf.dynamic = true;
        let step: u64 = if self.wide { 16 } else { 8 };
        let mut entries: Vec<(u64, u64)> = Vec::new();
        // A few dozen in practice.
        for number in 0..(segment.size / step).min(10_000) {
            let at = segment.offset.saturating_add(number * step);
            let (tag, value) = (self.word(at)?, self.word(at + step / 2)?);
            if tag == 0 {
                break;
            }
            entries.push((tag, value));
        }
        let find = |wanted: u64| {
            entries
                .iter()
                .find(|(tag, _)| *tag == wanted)
                .map(|(_, value)| *value)
        };
        let (Some(table), Some(size)) = (find(5), find(10)) else {
            return Ok(());
        };
        if size > STRINGS_LIMIT {
            return Err(format!("has a dynamic string table of {size} bytes"));
        }
        let strings = self.bytes(self.offset(table)?, size)?;
        let name = |at: u64| text(&strings, usize::try_from(at).unwrap_or(usize::MAX));
        let folders = |at: u64| {
            name(at)
                .split(':')
                .filter(|folder| !folder.is_empty())
                .map(str::to_owned)
                .collect()
        };
        for (tag, value) in &entries {
            match *tag {
                1 => elf.needed.push(name(*value)),
                14 => elf.soname = Some(name(*value)),
                15 => elf.rpath = folders(*value),
                29 => elf.runpath = folders(*value),
                _ => {}
            }
        }
        if let (Some(at), Some(count)) = (find(0x6fff_fffe), find(0x6fff_ffff)) {
            self.versions_needed(self.offset(at)?, count, &name, elf)?;
        }
        if let (Some(at), Some(count)) = (find(0x6fff_fffc), find(0x6fff_fffd)) {
            self.versions_defined(self.offset(at)?, count, &name, elf)?;
        }
        if let Some(symbols) = find(6) {
            let count = match find(4) {
                // The second word of a DT_HASH table is the number of symbols.
                Some(hash) => u64::from(self.u32(self.offset(hash)?.saturating_add(4))?),
                // Every linker puts the string table after the symbol table; without DT_HASH nothing says
                // how many symbols there are.
                None => table.saturating_sub(symbols) / if self.wide { 24 } else { 16 },
            };
            self.calls(self.offset(symbols)?, count, &name, elf)?;
        }
        Ok(())
    }

    fn versions_needed(
        &self,
        start: u64,
        count: u64,
        name: &dyn Fn(u64) -> String,
        elf: &mut Elf,
    ) -> Result<(), String> {
        let mut at = start;
        for _ in 0..count.min(10_000) {
            let library = name(u64::from(self.u32(at + 4)?));
            let mut auxiliary = at.saturating_add(u64::from(self.u32(at + 8)?));
            for _ in 0..self.u16(at + 2)? {
                let weak = self.u16(auxiliary + 4)? & 2 != 0;
                if !weak {
                    let version = name(u64::from(self.u32(auxiliary + 8)?));
                    elf.versions_needed.push((library.clone(), version));
                }
                match self.u32(auxiliary + 12)? {
                    0 => break,
                    next => auxiliary = auxiliary.saturating_add(u64::from(next)),
                }
            }
            match self.u32(at + 12)? {
                0 => break,
                next => at = at.saturating_add(u64::from(next)),
            }
        }
        Ok(())
    }

    fn versions_defined(
        &self,
        start: u64,
        count: u64,
        name: &dyn Fn(u64) -> String,
        elf: &mut Elf,
    ) -> Result<(), String> {
        let mut at = start;
        for _ in 0..count.min(10_000) {
            let auxiliary = at.saturating_add(u64::from(self.u32(at + 12)?));
            let version = name(u64::from(self.u32(auxiliary)?));
            elf.versions_defined.insert(version);
            match self.u32(at + 16)? {
                0 => break,
                next => at = at.saturating_add(u64::from(next)),
            }
        }
        Ok(())
    }

    /// Undefined symbols that are calls of interest.
    fn calls(
        &self,
        start: u64,
        count: u64,
        name: &dyn Fn(u64) -> String,
        elf: &mut Elf,
    ) -> Result<(), String> {
        let step: u64 = if self.wide { 24 } else { 16 };
        let section = if self.wide { 6 } else { 14 };
        let size = (count.min(1 << 20) * step).min(self.file.length().saturating_sub(start));
        let table = self.bytes(start, size)?;
        for symbol in table.chunks_exact(usize::try_from(step).unwrap_or(24)) {
            if self.number(symbol.get(section..section + 2).unwrap_or_default()) != 0 {
                continue;
            }
            let at = self.number(symbol.get(..4).unwrap_or_default());
            let called = name(at);
            if CALLS.contains(&called.as_str()) {
                elf.calls.insert(called);
            }
        }
        Ok(())
    }

    /// Notes of interest: what is loaded when running. Damaged notes say nothing.
    fn notes(&self, segment: &Segment, elf: &mut Elf) {
        let Ok(bytes) = self.bytes(segment.offset, segment.size.min(1 << 20)) else {
            return;
        };
        let mut rest = bytes.as_slice();
        while rest.len() >= 12 {
            let field = |at: usize| {
                usize::try_from(self.number(rest.get(at..at + 4).unwrap_or_default()))
                    .unwrap_or(usize::MAX)
            };
            let (name_size, data_size, kind) = (field(0), field(4), field(8));
            let data_at = 12usize.saturating_add(name_size.saturating_add(3) & !3);
            let end = data_at.saturating_add(data_size);
            let Some(data) = rest.get(data_at..end) else {
                return;
            };
            if rest.get(12..16) == Some(b"FDO\0") && kind == 0x407c_0c0a {
                elf.dlopen.extend(dlopen_names(data));
            }
            rest = rest.get((end.saturating_add(3)) & !3..).unwrap_or_default();
        }
    }

    /// Where literals are: by sections, or by segments when there are none.
    fn sections(&self, elf: &mut Elf) {
        let found = self.section_data();
        match found {
            Ok((data, go)) if !data.is_empty() => {
                elf.data = data;
                elf.go = go;
            }
            _ => {
                elf.data = self
                    .segments
                    .iter()
                    .filter(|segment| segment.kind == PT_LOAD && segment.flags & 1 == 0)
                    .map(|segment| (segment.offset, segment.size))
                    .collect();
            }
        }
    }

    fn section_data(&self) -> Result<(Vec<(u64, u64)>, bool), String> {
        let (table, size, count, names) = if self.wide {
            (self.word(40)?, self.u16(58)?, self.u16(60)?, self.u16(62)?)
        } else {
            (self.word(32)?, self.u16(46)?, self.u16(48)?, self.u16(50)?)
        };
        let section = |number: u16| -> Result<(u32, u32, u64, u64, u64), String> {
            let at = table.saturating_add(u64::from(number) * u64::from(size));
            if self.wide {
                let (flags, offset, size) =
                    (self.word(at + 8)?, self.word(at + 24)?, self.word(at + 32)?);
                Ok((self.u32(at)?, self.u32(at + 4)?, flags, offset, size))
            } else {
                let (flags, offset, size) =
                    (self.word(at + 8)?, self.word(at + 16)?, self.word(at + 20)?);
                Ok((self.u32(at)?, self.u32(at + 4)?, flags, offset, size))
            }
        };
        if table == 0 || count == 0 {
            return Ok((Vec::new(), false));
        }
        let (_, _, _, names_at, names_size) = section(names)?;
        let names = self.bytes(names_at, names_size.min(1 << 20))?;
        let mut data = Vec::new();
        let mut go = false;
        for number in 0..count {
            let (name, kind, flags, offset, size) = section(number)?;
            let name = text(&names, usize::try_from(name).unwrap_or(usize::MAX));
            go |= name == ".go.buildinfo" || name == ".gopclntab";
            // SHT_PROGBITS, SHF_ALLOC and not SHF_EXECINSTR: what the program holds and does not run.
            if kind == 1 && flags & 2 != 0 && flags & 4 == 0 && !name.starts_with(".eh_frame") {
                data.push((offset, size));
            }
        }
        Ok((data, go))
    }

    /// Where in the file an address of the loaded program is.
    fn offset(&self, address: u64) -> Result<u64, String> {
        self.segments
            .iter()
            .filter(|segment| segment.kind == PT_LOAD)
            .find_map(|segment| {
                let inside = address.checked_sub(segment.address)?;
                (inside < segment.size).then(|| segment.offset.checked_add(inside))?
            })
            .ok_or_else(|| "has an ELF table outside of the file".to_owned())
    }

    fn bytes(&self, at: u64, length: u64) -> Result<Vec<u8>, String> {
        let end = at.checked_add(length);
        if end.is_none_or(|end| end > self.file.length()) {
            return Err("has an ELF table that ends outside of the file".to_owned());
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file
            .read_exact_at(&mut bytes, at)
            .map_err(|e| format!("cannot be read: {e}"))?;
        Ok(bytes)
    }

    fn fixed<const N: usize>(&self, at: u64) -> Result<u64, String> {
        let mut bytes = [0; N];
        self.file
            .read_exact_at(&mut bytes, at)
            .map_err(|_| "has an ELF table that ends outside of the file".to_owned())?;
        Ok(self.number(&bytes))
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        if self.little {
            bytes.iter().rev().fold(0, add)
        } else {
            bytes.iter().fold(0, add)
        }
    }

    fn u16(&self, at: u64) -> Result<u16, String> {
        self.fixed::<2>(at)
            .map(|n| u16::try_from(n).unwrap_or(u16::MAX))
    }

    fn u32(&self, at: u64) -> Result<u32, String> {
        self.fixed::<4>(at)
            .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    }

    /// A number of the file's own word size.
    fn word(&self, at: u64) -> Result<u64, String> {
        if self.wide {
            self.fixed::<8>(at)
        } else {
            self.fixed::<4>(at)
        }
    }
}

/// NUL-terminated text at a place in a table.
fn text(table: &[u8], at: usize) -> String {
    let rest = table.get(at..).unwrap_or_default();
    let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    String::from_utf8_lossy(rest.get(..end.min(LITERAL_LENGTH)).unwrap_or_default()).into_owned()
}

/// Library names of a dlopen note: JSON, a list of objects with `soname` lists.
fn dlopen_names(data: &[u8]) -> Vec<String> {
    let end = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    let Ok(serde_json::Value::Array(features)) =
        serde_json::from_slice(data.get(..end).unwrap_or_default())
    else {
        return Vec::new();
    };
    features
        .iter()
        .filter_map(|feature| feature.get("soname")?.as_array())
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}
