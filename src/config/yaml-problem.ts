import { visit, type Alias, type Document, type ErrorCode } from 'yaml';

/** Texts for the errors of the parser, whose own messages may quote a password from the file. */
const PROBLEMS: Readonly<Partial<Record<ErrorCode, string>>> = {
  BAD_ALIAS: 'a value begins with * and is not an alias; put the value in quotes',
  BAD_COLLECTION_TYPE: 'a tag (!name) does not fit the value behind it; remove the tag',
  BAD_DIRECTIVE: 'a line begins with % and is not a directive; put the value in quotes',
  BAD_DQ_ESCAPE: 'a backslash in double quotes begins no known escape; write \\\\ or use single quotes',
  BAD_INDENT:
    'the indentation does not fit the lines above, or a bracket is not closed; indent entries of one list or map by the same number of spaces',
  BAD_PROP_ORDER: 'an anchor or tag stands at the wrong place; remove it',
  BAD_SCALAR_START: 'a value begins with a character that has a meaning in YAML; put the value in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second "key: value" stands on the same line; put it on a line of its own, or the value in quotes',
  BLOCK_IN_FLOW: 'a list or map with dashes or indentation stands inside [ ] or { }; write it with [ ] or { } too',
  DUPLICATE_KEY: 'this key is set twice; remove one of the two',
  KEY_OVER_1024_CHARS: 'this key is too long, or the colon behind it is missing',
  MISSING_CHAR: 'a closing quote, a closing bracket, a comma or a colon is missing here or on an earlier line',
  MULTILINE_IMPLICIT_KEY: 'this line has no "key: value"; add the colon with a space behind it, or put a value of several lines in quotes',
  MULTIPLE_DOCS: 'the file has more than one document; remove the lines --- and what belongs to the others',
  TAB_AS_INDENT: 'the line is indented with a tab; use spaces',
  TAG_RESOLVE_FAILED: 'a value begins with ! and is not a known tag; put the value in quotes',
  UNEXPECTED_TOKEN: 'this is not expected here; a bracket or quote may be missing or left over, or the value needs quotes',
};

/** The first error and its offset, counted from 0; null if there is none. */
export function yamlProblem(document: Document): { readonly problem: string; readonly offset: number } | null {
  const [error] = document.errors;
  if (error !== undefined) return { problem: PROBLEMS[error.code] ?? `the parser says ${error.code}`, offset: error.pos[0] };
  const alias = unknownAlias(document);
  return alias === null ? null : { problem: PROBLEMS.BAD_ALIAS ?? '', offset: alias.range?.[0] ?? 0 };
}

/** Finds an unknown alias. The parser reports it only in toJS(), and without its place. */
function unknownAlias(document: Document): Alias | null {
  let unknown: Alias | null = null;
  visit(document, {
    Alias(_key, alias) {
      if (alias.resolve(document) !== undefined) return undefined;
      unknown = alias;
      return visit.BREAK;
    },
  });
  return unknown;
}
