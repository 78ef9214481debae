// From subwords to words: a word is read through its pieces, so the weights of a key's pieces add up; a word is written
// piece by piece, so a query gets the mean of its pieces' rows.

const MARKS = /^(##|▁|Ġ)|@@$/g;

function wordLabel(tokens) {
  return tokens.map((token) => token.replace(MARKS, "")).join("") || tokens.join("");
}

/** The groups of pieces within `count` positions that begin at `first`, counted from there. */
function groupsWithin(words, first, count) {
  return words.map((word) => word.map((piece) => piece - first).filter((piece) => piece >= 0 && piece < count))
    .filter((word) => word.length);
}

/** The head by words: whole matrices stay whole; where only the strongest travelled, their sums (which are at least). */
function byWords(head, queryWords, keyWords) {
  const shared = { queries: queryWords.length, keys: keyWords.length, cell: [1, 1], merged: true, top: head.top };
  const longest = Math.max(1, ...keyWords.map((word) => word.length));
  if (head.whole) return wholeByWords(head, queryWords, keyWords, { ...shared, error: head.error * longest });
  return strongestByWords(head, queryWords, keyWords, { ...shared, error: 0 });
}

function wholeByWords(head, queryWords, keyWords, shared) {
  const columns = keyWords.length;
  const grid = new Float32Array(queryWords.length * columns);
  const entropy = new Float32Array(queryWords.length);
  const mass = new Float32Array(columns);
  queryWords.forEach((pieces, row) => {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      let seen = 0;
      for (const query of pieces) {
        for (const key of keyWords[column]) {
          const weight = head.at(query, key);
          if (weight === weight) [sum, seen] = [sum + weight, seen + 1];
        }
      }
      const weight = seen ? sum / pieces.length : NaN;
      grid[row * columns + column] = weight;
      if (weight > 0) [entropy[row], mass[column]] = [entropy[row] - weight * Math.log(weight), mass[column] + weight];
    }
  });
  return new Head({ ...shared, grid, rows: queryWords.length, columns, k: 0, entropy, mass });
}

function strongestByWords(head, queryWords, keyWords, shared) {
  const wordOf = new Int32Array(head.keys).fill(-1);
  keyWords.forEach((pieces, word) => pieces.forEach((piece) => (wordOf[piece] = word)));
  const rows = queryWords.map((pieces) => {
    const sums = new Map();
    for (const query of pieces) {
      for (let i = query * head.k; i < (query + 1) * head.k; i++) {
        const word = head.positions[i] < 0 ? -1 : wordOf[head.positions[i]];
        if (word >= 0) sums.set(word, (sums.get(word) ?? 0) + head.strongest[i] / pieces.length);
      }
    }
    return [...sums].sort((a, b) => b[1] - a[1]).slice(0, head.k);
  });
  const positions = new Int32Array(rows.length * head.k).fill(-1);
  const strongest = new Float32Array(rows.length * head.k);
  rows.forEach((row, query) => row.forEach(([word, weight], rank) => {
    positions[query * head.k + rank] = word;
    strongest[query * head.k + rank] = weight;
  }));
  return new Head({ ...shared, rows: 0, columns: 0, k: head.k, positions, strongest });
}
