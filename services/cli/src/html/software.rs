//! Images and revisions of a package.

use maud::{Markup, html};

use super::{PackagePart, Section, arrow, code, filterable, list, plain, text};
use crate::image_details::ImageDetail;
use crate::style;
use crate::summary::{ImageNumbers, ImageRow};

pub(super) fn images(part: &PackagePart<'_>) -> Section {
    let row_of = |image: &ImageDetail| {
        part.summary
            .images
            .iter()
            .find(|row| row.reference == image.reference)
    };
    let body = html! {
        @if part.images.is_empty() {
            p { "The package holds no image." }
        } @else {
            (filterable("images", &[], &html! {
                table {
                    thead { tr {
                        th scope="col" { "Image" } th scope="col" { "Platforms" } th scope="col" { "Runs as" } th scope="col" { "Tier" }
                        th.n scope="col" { "Size" } th.n scope="col" { "Files" } th.n scope="col" { "Packages" } th.n scope="col" { "Vulnerabilities" }
                        th scope="col" { "Why it is in" }
                    } }
                    tbody { @for image in part.images { (row(image, row_of(image), part.summary.checked)) } }
                }
            }))
        }
    };
    Section::new("images", "Images", part.images.len(), body)
}

fn row(image: &ImageDetail, numbers: Option<&ImageRow>, checked: bool) -> Markup {
    let packages = |n: &ImageNumbers| n.packages.map_or("unknown".to_owned(), |p| p.to_string());
    html! {
        tr {
            td.wide {
                (code(&image.reference))
                div.soft { "now " (code(&image.digest)) }
                @if image.original != image.digest { div.soft { "was " (code(&image.original)) } }
                @if !image.origin.is_empty() { div.soft { (text(&image.origin)) } }
            }
            td { (list(&image.platforms, 4)) }
            td { (text(&image.user)) @if !image.ports.is_empty() { div.soft { "ports " (text(&image.ports.join(", "))) } } }
            td { @if image.tier.is_empty() { span.soft { "not minimised" } } @else { (text(&image.tier)) } @for note in &image.tier_notes { div.soft { (text(note)) } } }
            @match numbers {
                Some(row) => {
                    td.n { (arrow(style::bytes(row.before.bytes), style::bytes(row.after.bytes))) }
                    td.n { (arrow(row.before.files, row.after.files)) }
                    td.n { (arrow(packages(&row.before), packages(&row.after))) }
                    td.n {
                        @match row.vulnerabilities {
                            Some(change) => { (arrow(change.before, change.after)) @if !checked { br; span class="chip unsure" { "not all checked" } } }
                            None => { span class="chip unsure" { "not checked" } }
                        }
                    }
                }
                None => { td colspan="4" { span class="chip unsure" { "not known" } } }
            }
            td { (list(&image.why, 3)) }
        }
    }
}

pub(super) fn revisions(part: &PackagePart<'_>) -> Section {
    let body = plain(
        "revisions",
        &html! {
            table {
                thead { tr { th scope="col" { "Level" } th scope="col" { "Digest" } } }
                tbody {
                    @for (level, digest) in part.revisions.iter().rev() {
                        tr { th scope="row" { (level.number()) " " (level.name()) } td { (code(&digest.to_string())) } }
                    }
                }
            }
        },
    );
    Section::new("revisions", "Revisions", part.revisions.len(), body)
}
