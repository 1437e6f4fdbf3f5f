/* The inner loops of memory.py and mixing.py, which say what they mean and own what they work on.

   In the order of this file: a place in a text; how often symbols followed short contexts; where
   long contexts were seen; documents, learned and forgotten; the whole as arrays to be stored, and
   whether arrays that were stored are a memory; what comes next, by all of these and by a network;
   learning from what came; what Python must know of this file. Text that is forgotten, or moves, is
   overwritten where it was. Needs no more than C99; one thread
   at a time. Symbols that come in were checked by Python; arrays that come in, by memory_sound.
*/

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef SOURCE
#define SOURCE 0 /* the CRC-32 of this file; hatch_build.py says it, memory.py compares it */
#endif

#define REACH 32      /* symbols of context that are looked at */
#define COUNTED 5     /* contexts of 1 to 5 symbols are counted exactly, longer ones sampled */
#define MAX_SYMBOLS 8192
#define START 257     /* the symbol that stands before the text of a document */
#define DEAD 0xFFFFu  /* a symbol that was forgotten */
#define ANY_SYMBOL 0x10000 /* more than any uint16_t is, so that none looks beyond its table */
#define NONE 0xFFFFFFFFu
#define HEAD_BITS 18  /* of a chain's table of heads */
#define MULTIPLIER 0x9E3779B97F4A7C15ull

/* Places with equal contexts are linked, newest first: those after the same six symbols, the same
   twelve, and the same word so far and word before it, whatever stands between the two. */
enum { SIX, TWELVE, WORDS, N_CHAINS };
static const uint32_t chain_order[N_CHAINS] = {6, 12, 0};
static const int chain_walk[N_CHAINS] = {64, 32, 48}; /* twice as many gain 0.002 bits */

/* Matches are told apart by whether they are at least this long. */
static const uint8_t bounds[] = {6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 24, 28, 32};
#define N_BOUNDS ((int)sizeof bounds)
#define CHAIN_MOST 64      /* the longest of chain_walk */
#define MOST_CANDIDATES 96 /* what the walks of SIX and TWELVE can find together */

/* A level is one refinement of the distribution: all symbols, 1 to 5 symbols of context, matches
   of each length, words (within one, before one). */
#define N_LEVELS (1 + COUNTED + N_BOUNDS + 2)
#define N_TOTALS 10
#define N_SPREADS 5

enum { NETWORK, LOW, MIDDLE, ORDERS, WORD, MATCH, N_EXPERTS };
#define LOW_ORDER 3 /* the expert that knows no longer context; the next one knows all that are counted */
#define N_LENGTHS (1 + COUNTED + N_BOUNDS)
#define N_SURENESS 9
#define N_SIZES 10
#define N_LETTERS 16
#define N_KNOWN 8      /* what the memory knows of the word at hand: see `of_word` */
#define N_SURPRISES 8  /* what the letters of that word cost the network */
#define N_POINTS 33 /* of the last correction, over the stretched probability of the top symbol */

typedef struct {
    uint16_t recent[REACH]; /* the latest last */
    uint32_t n_recent;
    uint32_t letters;          /* of the word at hand */
    uint64_t word, word_before; /* hashes of their letters, in lower case */
} Place;

typedef struct {
    uint16_t symbol, unused; /* always 0, so that no byte that is stored is there by chance */
    uint32_t count, next;
} Entry;

typedef struct {
    uint64_t key;
    uint32_t first, total;
} Node;

/* A stretch of text that was learned at one time. The symbols before `first` are context. */
typedef struct {
    Place place;
    uint32_t document, start, first, end;
} Segment;

typedef struct {
    uint32_t n_symbols;
    uint32_t n_text, text_room, n_alive;
    uint32_t n_nodes, node_mask;
    uint32_t n_entries, entry_room, free_entry;
    uint32_t n_segments, segment_room;
} Sizes;

typedef struct {
    Sizes n;
    uint16_t *fold;               /* (ANY_SYMBOL,): 0 for what is no letter, else which one it is */
    uint16_t *text;               /* (n_text,) */
    uint32_t *previous[N_CHAINS]; /* (n_text,) */
    uint32_t *head[N_CHAINS];     /* (1 << HEAD_BITS,) */
    Node *nodes;
    Entry *entries;
    uint32_t *count0; /* (n_symbols,) */
    Segment *segments;

    /* What follows from the above, and is not stored. */
    uint32_t n_free;   /* entries that may be used again */
    uint32_t *newest;  /* (2 * segment_room,) by hash of a document: its newest segment */
    uint32_t *earlier; /* (n_segments,) the segment before of the same document */
} Memory;

/* All that is learned about how to mix; mixing.py stores it as one array of floats. */
typedef struct {
    float escape[N_LEVELS][N_TOTALS][N_SPREADS];
    float match[N_BOUNDS][3]; /* probability that a match tells the truth */
    float by_length[N_LENGTHS][N_EXPERTS];
    float by_sureness[N_SURENESS * N_SURENESS][N_EXPERTS];
    float by_letters[N_LETTERS][N_EXPERTS];
    float by_size[N_SIZES][N_EXPERTS];
    float by_word[N_KNOWN * N_SURPRISES][N_EXPERTS];
    float truth[N_LENGTHS][N_POINTS]; /* how often a top symbol so sure came true */
} Mixer;
#define MOST_WEIGHT 1000.0f /* no sum of them overflows; those that are learned stay under ten */

typedef struct {
    int level, total, spread; /* which escape */
    int from, to;             /* which shares */
} Refinement;

/* Shares lie one stretch behind the other: a stretch for the counts of each order, then the votes.
   Every bound may vote anew with all candidates, and the words after them. */
#define VOTES_FROM ((COUNTED + 1) * MAX_SYMBOLS)
#define MOST_VOTES (N_BOUNDS * MOST_CANDIDATES + CHAIN_MOST)
#define MOST_SHARES (VOTES_FROM + MOST_VOTES)

/* How a distribution came about: what learning from the symbol that comes next needs. What is
   about the match is set only where there is one, and logs[NETWORK] only with a network: `uses`
   says so. */
typedef struct {
    int n_refinements, n_shares;
    Refinement refinements[N_LEVELS];
    uint16_t symbols[MOST_SHARES];
    float shares[MOST_SHARES];
    int deepest; /* the refinement by the longest context */
    int length, sureness, letters, size, word, top, point; /* which weights */
    float point_share, top_mixed;
    int uses[N_EXPERTS];
    int match_symbol, match_length, match_votes;
    float match_stretched;
    float low[MAX_SYMBOLS], middle[MAX_SYMBOLS], orders[MAX_SYMBOLS], words[MAX_SYMBOLS];
    float logs[WORD + 1][MAX_SYMBOLS]; /* base 2 */
    float mixed[MAX_SYMBOLS];          /* before the last correction */
} Trace;

static uint64_t scrambled(uint64_t hash) {
    hash ^= hash >> 31;
    hash *= MULTIPLIER;
    hash ^= hash >> 29;
    hash *= 0xBF58476D1CE4E5B9ull;
    return hash ^ hash >> 32;
}

static uint64_t extended(uint64_t hash, uint16_t symbol) {
    hash = (hash + symbol + 1) * MULTIPLIER;
    return hash ^ hash >> 30;
}

/* Through a pointer that may change at any time, as far as the compiler knows: else it leaves out
   what nobody reads any more. */
static void *(*const volatile overwrite)(void *, int, size_t) = memset;

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* -- a place in a text ---------------------------------------------------------------------- */

static uint16_t symbol_before(const Place *place, uint32_t distance) {
    return place->recent[REACH - distance];
}

void place_begin(Place *place) {
    memset(place, 0, sizeof *place);
    place->recent[REACH - 1] = START;
    place->n_recent = 1;
}

void place_copy(Place *place, const Place *from) { *place = *from; }

void place_end(Place *place) { overwrite(place, 0, sizeof *place); }

void place_observe(const Memory *memory, Place *place, uint16_t symbol) {
    memmove(place->recent, place->recent + 1, (REACH - 1) * sizeof *place->recent);
    place->recent[REACH - 1] = symbol;
    place->n_recent = least(place->n_recent + 1, REACH);
    uint16_t letter = memory->fold[symbol];
    if (letter) {
        place->word = extended(place->word, letter);
        place->letters++;
    } else if (place->letters) {
        place->word_before = place->word;
        place->word = 0;
        place->letters = 0;
    }
}

/* -- how often symbols followed short contexts ------------------------------------------------ */

/* keys[k] for each context of k symbols that there is; returns how many. */
static uint32_t context_keys(const Place *place, uint64_t keys[COUNTED + 1]) {
    uint32_t longest = least(place->n_recent, COUNTED);
    uint64_t hash = 0;
    for (uint32_t k = 1; k <= longest; k++) {
        hash = extended(hash, symbol_before(place, k));
        keys[k] = scrambled(hash + k) | 1; /* 0 marks an empty slot */
    }
    return longest;
}

static Node *node_of(const Memory *memory, uint64_t key) {
    uint32_t at = (uint32_t)(key >> 20) & memory->n.node_mask;
    while (memory->nodes[at].key && memory->nodes[at].key != key)
        at = (at + 1) & memory->n.node_mask;
    return &memory->nodes[at];
}

static void *resized(void *array, uint64_t bytes) {
    void *larger = realloc(array, bytes);
    if (!larger) abort(); /* a process without memory cannot go on; what is saved stays as it was */
    return larger;
}

/* As `resized` for what holds text: realloc might leave it behind where it was. */
static void *moved_larger(void *array, uint64_t bytes_before, uint64_t bytes) {
    void *larger = memcpy(resized(NULL, bytes), array, bytes_before);
    overwrite(array, 0, bytes_before);
    free(array);
    return larger;
}

/* Room for more contexts: a table twice as large. */
static void more_nodes(Memory *memory) {
    Node *old = memory->nodes;
    uint32_t n_old = memory->n.node_mask + 1;
    memory->n.node_mask = 2 * n_old - 1;
    uint64_t bytes = (memory->n.node_mask + 1ull) * sizeof(Node);
    memory->nodes = memset(resized(NULL, bytes), 0, bytes);
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i].key) *node_of(memory, old[i].key) = old[i];
    free(old);
}

/* A context that nothing follows any more goes, and those that had to lie behind it move up, so
   that each is still found from its own slot on (deletion with linear probing, Knuth 1973, 6.4 R). */
static void node_dropped(Memory *memory, Node *node) {
    uint32_t mask = memory->n.node_mask, gap = (uint32_t)(node - memory->nodes);
    for (uint32_t at = (gap + 1) & mask; memory->nodes[at].key; at = (at + 1) & mask) {
        uint32_t own = (uint32_t)(memory->nodes[at].key >> 20) & mask;
        if (((at - own) & mask) < ((at - gap) & mask)) continue; /* it would lie before its own */
        memory->nodes[gap] = memory->nodes[at];
        gap = at;
    }
    memory->nodes[gap] = (Node){0, 0, 0};
    memory->n.n_nodes--;
}

static Node *node_made(Memory *memory, uint64_t key) {
    Node *node = node_of(memory, key);
    if (node->key) return node;
    if (memory->n.n_nodes >= memory->n.node_mask / 4 * 3) {
        more_nodes(memory);
        node = node_of(memory, key);
    }
    memory->n.n_nodes++;
    *node = (Node){key, NONE, 0};
    return node;
}

/* The entry of `symbol` among those that followed a context, or NONE. */
static uint32_t entry_of(const Memory *memory, const Node *node, uint16_t symbol) {
    uint32_t at = node->first;
    while (at != NONE && memory->entries[at].symbol != symbol) at = memory->entries[at].next;
    return at;
}

/* An entry nobody uses: one that was given back, or a new one. */
static uint32_t entry_made(Memory *memory) {
    uint32_t at = memory->n.free_entry;
    if (at != NONE) {
        memory->n.free_entry = memory->entries[at].next;
        memory->n_free--;
        return at;
    }
    if (memory->n.n_entries == memory->n.entry_room) {
        memory->n.entry_room += memory->n.entry_room / 2;
        memory->entries =
            resized(memory->entries, (uint64_t)memory->n.entry_room * sizeof(Entry));
    }
    return memory->n.n_entries++;
}

/* Send for the nodes before they are needed: waiting for memory is most of what counting takes. */
static void send_for_nodes(const Memory *memory, const uint64_t *keys, uint32_t longest) {
    for (uint32_t k = 1; k <= longest; k++)
        __builtin_prefetch(&memory->nodes[(uint32_t)(keys[k] >> 20) & memory->n.node_mask]);
}

static void count(Memory *memory, const Place *place, uint16_t symbol) {
    uint64_t keys[COUNTED + 1];
    uint32_t longest = context_keys(place, keys);
    send_for_nodes(memory, keys, longest);
    memory->count0[symbol]++;
    for (uint32_t k = 1; k <= longest; k++) {
        Node *node = node_made(memory, keys[k]);
        node->total++;
        uint32_t at = entry_of(memory, node, symbol);
        if (at != NONE) {
            memory->entries[at].count++;
            continue;
        }
        at = entry_made(memory);
        memory->entries[at] = (Entry){symbol, 0, 1, node->first};
        node->first = at;
    }
}

/* The reverse. What was never counted is passed over: only a memory that was restored from other
   than its own arrays can come to that. */
static void uncount(Memory *memory, const Place *place, uint16_t symbol) {
    uint64_t keys[COUNTED + 1];
    uint32_t longest = context_keys(place, keys);
    send_for_nodes(memory, keys, longest);
    if (memory->count0[symbol]) memory->count0[symbol]--;
    for (uint32_t k = 1; k <= longest; k++) {
        Node *node = node_of(memory, keys[k]);
        if (!node->key) continue;
        uint32_t *link = &node->first;
        while (*link != NONE && memory->entries[*link].symbol != symbol)
            link = &memory->entries[*link].next;
        uint32_t at = *link;
        if (at == NONE) continue;
        node->total--;
        if (--memory->entries[at].count) continue;
        *link = memory->entries[at].next;
        memory->entries[at].next = memory->n.free_entry;
        memory->n.free_entry = at;
        memory->n_free++;
        if (node->first == NONE) node_dropped(memory, node);
    }
}

/* -- where long contexts were seen ------------------------------------------------------------ */

/* Which list of places has this context; NONE if there is too little of it. */
static uint32_t chain_key(const Place *place, int chain) {
    uint64_t hash;
    if (chain == WORDS) {
        if (!place->word_before) return NONE;
        hash = scrambled(place->word_before + place->word * 31 + place->letters);
    } else {
        if (place->n_recent < chain_order[chain]) return NONE;
        hash = 0;
        for (uint32_t k = 1; k <= chain_order[chain]; k++)
            hash = extended(hash, symbol_before(place, k));
        hash = scrambled(hash);
    }
    return (uint32_t)(hash >> (64 - HEAD_BITS));
}

static void link_place(Memory *memory, const Place *place, uint32_t at) {
    for (int chain = 0; chain < N_CHAINS; chain++) {
        uint32_t key = chain_key(place, chain);
        memory->previous[chain][at] = NONE;
        if (key == NONE) continue;
        memory->previous[chain][at] = memory->head[chain][key];
        memory->head[chain][key] = at;
    }
}

static uint32_t match_length(const Memory *memory, const Place *place, uint32_t at) {
    uint32_t most = least(place->n_recent, at), length = 0;
    while (length < most && memory->text[at - 1 - length] == symbol_before(place, length + 1))
        length++;
    return length;
}

/* Whether the letters before `at` are those at hand: hashes may agree by accident. */
static int same_letters(const Memory *memory, const Place *place, uint32_t at) {
    uint32_t letters = least(place->letters, REACH);
    if (at < letters) return 0;
    for (uint32_t k = 1; k <= letters; k++) {
        uint16_t symbol = memory->text[at - k];
        if (symbol == DEAD || memory->fold[symbol] != memory->fold[symbol_before(place, k)])
            return 0;
    }
    return 1;
}

/* -- documents -------------------------------------------------------------------------------- */

static void room_for_text(Memory *memory, uint32_t n) {
    if (memory->n.n_text + n <= memory->n.text_room) return;
    memory->n.text_room += memory->n.text_room / 2 + n;
    memory->text = moved_larger(memory->text, memory->n.n_text * 2ull, memory->n.text_room * 2ull);
    for (int chain = 0; chain < N_CHAINS; chain++)
        memory->previous[chain] =
            resized(memory->previous[chain], (uint64_t)memory->n.text_room * sizeof(uint32_t));
}

/* Where the table of newest segments has, or would have, that of `document`. */
static uint32_t *newest_of(const Memory *memory, uint32_t document) {
    uint32_t room = 2 * memory->n.segment_room;
    uint32_t at = (uint32_t)(scrambled(document + 1ull) % room);
    while (memory->newest[at] != NONE &&
           memory->segments[memory->newest[at]].document != document)
        at = at + 1 == room ? 0 : at + 1;
    return &memory->newest[at];
}

static void index_segment(Memory *memory, uint32_t i) {
    uint32_t *newest = newest_of(memory, memory->segments[i].document);
    memory->earlier[i] = *newest;
    *newest = i;
}

/* So that a document is found without a look at all the others. */
static void index_segments(Memory *memory) {
    memset(memory->newest, 0xFF, 2ull * memory->n.segment_room * sizeof(uint32_t));
    for (uint32_t i = 0; i < memory->n.n_segments; i++) index_segment(memory, i);
}

static void room_for_segment(Memory *memory) {
    if (memory->n.n_segments < memory->n.segment_room) return;
    uint64_t room = memory->n.segment_room *= 2;
    memory->segments = moved_larger(memory->segments, memory->n.n_segments * sizeof(Segment),
                                    room * sizeof(Segment));
    memory->newest = resized(memory->newest, 2 * room * sizeof(uint32_t));
    memory->earlier = resized(memory->earlier, room * sizeof(uint32_t));
    index_segments(memory);
}

/* A stretch of `document` begins at `place`, with its context before it, so that matches reach
   back over the seam. */
static Segment *begin_segment(Memory *memory, uint32_t document, const Place *place) {
    room_for_segment(memory);
    room_for_text(memory, REACH);
    Segment *segment = &memory->segments[memory->n.n_segments];
    segment->place = *place;
    segment->document = document;
    segment->start = memory->n.n_text;
    index_segment(memory, memory->n.n_segments++);
    for (uint32_t k = place->n_recent; k >= 1; k--) {
        for (int chain = 0; chain < N_CHAINS; chain++)
            memory->previous[chain][memory->n.n_text] = NONE;
        memory->text[memory->n.n_text++] = symbol_before(place, k);
    }
    segment->first = segment->end = memory->n.n_text;
    return segment;
}

static void append(Memory *memory, Segment *segment, Place *place, uint16_t symbol) {
    room_for_text(memory, 1);
    uint32_t at = memory->n.n_text++;
    memory->text[at] = symbol;
    memory->n.n_alive++;
    segment->end = memory->n.n_text;
    count(memory, place, symbol);
    link_place(memory, place, at);
    place_observe(memory, place, symbol);
}

/* Bytes of each array by the room in it. */
static uint64_t text_bytes(uint64_t room) { return room * (2 + 4 * N_CHAINS); }
static uint64_t segment_bytes(uint64_t room) { return room * (sizeof(Segment) + 3 * 4); }

/* What arrays of such sizes take. */
static uint64_t bytes_of(const Sizes *n) {
    return text_bytes(n->text_room) + (n->node_mask + 1ull) * sizeof(Node) +
           (uint64_t)n->entry_room * sizeof(Entry) + segment_bytes(n->segment_room) +
           n->n_symbols * 4ull + N_CHAINS * (sizeof(uint32_t) << HEAD_BITS);
}

uint64_t memory_bytes(const Memory *memory) { return bytes_of(&memory->n); }

/* Whether `symbols` more, in `segments` more, fit without the arrays growing to more than `limit`
   bytes in all, each of them once. */
static int has_room(const Memory *memory, uint32_t symbols, uint32_t segments, uint64_t limit) {
    const Sizes *n = &memory->n;
    uint64_t growth = 0, contexts = (uint64_t)COUNTED * symbols;
    if (n->n_text + (uint64_t)REACH * segments + symbols > n->text_room)
        growth += text_bytes(n->text_room / 2 + REACH);
    if (n->n_nodes + contexts > n->node_mask / 4 * 3)
        growth += (n->node_mask + 1ull) * sizeof(Node);
    if (n->n_entries + contexts > n->entry_room + (uint64_t)memory->n_free)
        growth += n->entry_room / 2 * (uint64_t)sizeof(Entry);
    if (n->n_segments + (uint64_t)segments > n->segment_room)
        growth += segment_bytes(n->segment_room);
    return !growth || memory_bytes(memory) + growth <= limit;
}

/* Whether so many symbols can be learned, a document's or those of many words typed here and
   there, before something has to go. */
uint32_t memory_has_room(const Memory *memory, uint32_t symbols, uint64_t limit) {
    return has_room(memory, symbols, 1 + symbols / 64, limit);
}

/* Learn `n` symbols that stand at `place` in `document`, and move the place; returns how many of
   them could be learned before the memory would have grown beyond `limit` bytes. */
uint32_t memory_learn(Memory *memory, uint32_t document, Place *place, const uint16_t *symbols,
                      uint32_t n, uint64_t limit) {
    Segment *last = memory->n.n_segments ? &memory->segments[memory->n.n_segments - 1] : NULL;
    int goes_on = last && last->document == document && last->end == memory->n.n_text &&
                  match_length(memory, place, memory->n.n_text) == place->n_recent;
    for (uint32_t i = 0; i < n; i++) {
        if (!has_room(memory, 1, 1, limit)) return i;
        if (!goes_on) last = begin_segment(memory, document, place);
        goes_on = 1;
        append(memory, last, place, symbols[i]);
    }
    return n;
}

/* The links of one chain between places as they will lie without the gaps. `moved`, (n_text,), is
   filled in for this chain: where each place goes, or, of a place in a gap, where its links led. */
static void move_links(Memory *memory, int chain, uint32_t *moved) {
    uint32_t *previous = memory->previous[chain], at = 0, to = 0;
    for (uint32_t i = 0; i < memory->n.n_segments; i++) {
        const Segment *segment = &memory->segments[i];
        if (segment->first == segment->end) continue;
        for (; at < segment->first; at++)
            moved[at] = previous[at] == NONE ? NONE : moved[previous[at]];
        for (uint32_t k = segment->start; k < segment->first; k++) previous[to++] = NONE;
        for (; at < segment->end; at++) {
            previous[to] = previous[at] == NONE ? NONE : moved[previous[at]];
            moved[at] = to++;
        }
    }
    for (; at < memory->n.n_text; at++)
        moved[at] = previous[at] == NONE ? NONE : moved[previous[at]];
    for (uint32_t key = 0; key < 1u << HEAD_BITS; key++) {
        uint32_t *head = &memory->head[chain][key];
        if (*head != NONE) *head = moved[*head];
    }
}

/* Leave out what is dead: the text moves together, and the links with it. */
static void compact(Memory *memory) {
    uint32_t n_kept = 0, to = 0;
    uint32_t *moved = resized(NULL, (memory->n.n_text + 1ull) * sizeof *moved);
    for (int chain = 0; chain < N_CHAINS; chain++) move_links(memory, chain, moved);
    free(moved);
    for (uint32_t i = 0; i < memory->n.n_segments; i++) {
        Segment segment = memory->segments[i];
        uint32_t length = segment.end - segment.start, context = segment.first - segment.start;
        if (segment.first == segment.end) continue;
        memmove(memory->text + to, memory->text + segment.start, length * sizeof *memory->text);
        segment.start = to;
        segment.first = to + context;
        segment.end = to = to + length;
        memory->segments[n_kept++] = segment;
    }
    overwrite(memory->segments + n_kept, 0, (memory->n.n_segments - n_kept) * sizeof(Segment));
    overwrite(memory->text + to, 0, (memory->n.n_text - to) * sizeof *memory->text);
    memory->n.n_segments = n_kept;
    memory->n.n_text = to;
    index_segments(memory);
}

/* Close the gaps if they are one part in `share` of the text, and `least` symbols at the least. It
   takes as long as learning a fiftieth of the text. Returns whether there is more room now. */
uint32_t memory_tidy(Memory *memory, uint32_t share, uint32_t least) {
    uint64_t text = memory->n.n_text, gaps = text - memory->n.n_alive;
    if (gaps < least || gaps * share < text) return 0; /* not even if contexts were gaps, too */
    for (uint32_t i = 0; i < memory->n.n_segments; i++) {
        const Segment *segment = &memory->segments[i];
        if (segment->first != segment->end) gaps -= segment->first - segment->start;
    }
    if (gaps < least || gaps * share < text) return 0;
    compact(memory);
    return 1;
}

/* The place `at` dies. Links lead past those that died before, and the newest of a list is taken
   off it, so that no walk wades through what was forgotten. */
static void unlink_place(Memory *memory, const Place *place, uint32_t at) {
    for (int chain = 0; chain < N_CHAINS; chain++) {
        uint32_t *previous = memory->previous[chain], before = previous[at];
        while (before != NONE && memory->text[before] == DEAD) before = previous[before];
        previous[at] = before;
        uint32_t key = chain_key(place, chain);
        if (key != NONE && memory->head[chain][key] == at) memory->head[chain][key] = before;
    }
    memory->text[at] = DEAD;
}

/* Take the first symbols out of a segment, `at_most` of them; returns how many. What stood before
   the rest is dead, and stays as long as the rest needs something before it. */
static uint32_t forget_in_segment(Memory *memory, Segment *segment, uint32_t at_most) {
    uint32_t n = least(segment->end - segment->first, at_most);
    for (uint32_t at = segment->start; at < segment->first; at++) memory->text[at] = DEAD;
    for (uint32_t at = segment->first; at < segment->first + n; at++) {
        uint16_t symbol = memory->text[at];
        uncount(memory, &segment->place, symbol);
        unlink_place(memory, &segment->place, at);
        place_observe(memory, &segment->place, symbol);
    }
    segment->first += n;
    segment->start = segment->first - least(segment->place.n_recent, segment->first - segment->start);
    memory->n.n_alive -= n;
    if (segment->first == segment->end) place_begin(&segment->place); /* it holds text, too */
    return n;
}

/* Take `at_most` symbols of `document` out; returns how many. Once there are none left it is as if
   the document had never been learned, whatever was learned or predicted in between. */
uint32_t memory_forget(Memory *memory, uint32_t document, uint32_t at_most) {
    uint32_t n = 0, *newest = newest_of(memory, document);
    for (uint32_t i = *newest; i != NONE && n < at_most; i = memory->earlier[i]) {
        Segment *segment = &memory->segments[i];
        n += forget_in_segment(memory, segment, at_most - n);

        /* The next call need not come by here; the last one stays, for it holds the slot. */
        if (segment->first == segment->end && memory->earlier[i] != NONE)
            *newest = memory->earlier[i];
    }
    return n;
}

/* Take `at_most` symbols out from where the text begins: the oldest; returns how many. */
uint32_t memory_forget_oldest(Memory *memory, uint32_t at_most) {
    for (uint32_t i = 0; i < memory->n.n_segments; i++) {
        Segment *segment = &memory->segments[i];
        if (segment->first != segment->end) return forget_in_segment(memory, segment, at_most);
    }
    return 0;
}

/* -- the whole, as arrays to be stored -------------------------------------------------------- */

#define N_ARRAYS (5 + 2 * N_CHAINS)

/* Array `i`: where it is, how many bytes of it are in use and how many it holds. */
static void **array_of(Memory *memory, int i, uint64_t *used, uint64_t *held) {
    const Sizes *n = &memory->n;
    uint64_t nodes = (n->node_mask + 1ull) * sizeof(Node);
    if (i < N_CHAINS) {
        *used = n->n_text * sizeof(uint32_t), *held = n->text_room * sizeof(uint32_t);
        return (void **)&memory->previous[i];
    }
    if (i < 2 * N_CHAINS) {
        *used = *held = sizeof(uint32_t) << HEAD_BITS;
        return (void **)&memory->head[i - N_CHAINS];
    }
    switch (i - 2 * N_CHAINS) {
    case 0: *used = n->n_text * 2ull, *held = n->text_room * 2ull; return (void **)&memory->text;
    case 1: *used = *held = nodes; return (void **)&memory->nodes;
    case 2:
        *used = n->n_entries * sizeof(Entry), *held = n->entry_room * sizeof(Entry);
        return (void **)&memory->entries;
    case 3: *used = *held = n->n_symbols * 4ull; return (void **)&memory->count0;
    default:
        *used = n->n_segments * sizeof(Segment), *held = n->segment_room * sizeof(Segment);
        return (void **)&memory->segments;
    }
}

void memory_free(Memory *memory) {
    uint64_t used, held;
    if (memory->text) overwrite(memory->text, 0, memory->n.n_text * 2ull);
    if (memory->segments) overwrite(memory->segments, 0, memory->n.n_segments * sizeof(Segment));
    for (int i = 0; i < N_ARRAYS; i++) free(*array_of(memory, i, &used, &held));
    free(memory->newest);
    free(memory->earlier);
    free(memory->fold);
    free(memory);
}

/* Whether arrays of such sizes can be made and grow as they should, within `limit` bytes. */
static int sizes_are_sound(const Sizes *n, uint32_t n_symbols, uint64_t limit) {
    return n->n_symbols == n_symbols && n->n_text <= n->text_room && n->n_alive <= n->n_text &&
           n->node_mask >= 63 && (n->node_mask & (n->node_mask + 1)) == 0 &&
           n->n_nodes <= n->node_mask / 4 * 3 && n->n_entries <= n->entry_room &&
           n->entry_room >= 64 && n->n_segments <= n->segment_room && n->segment_room >= 1 &&
           n->segment_room < 1u << 30 && bytes_of(n) <= limit;
}

/* An empty memory, or, with `sizes`, one whose arrays are as large and will be filled in; NULL
   where there is no room for it or no memory has such sizes. `fold` is (n_symbols,). */
Memory *memory_new(uint32_t n_symbols, const uint16_t *fold, const Sizes *sizes, uint64_t limit) {
    if (sizes && !sizes_are_sound(sizes, n_symbols, limit)) return NULL;
    Memory *memory = calloc(1, sizeof *memory);
    uint64_t used, held;
    if (!memory) return NULL;
    memory->n = sizes ? *sizes
                      : (Sizes){.n_symbols = n_symbols, .text_room = 1 << 14,
                                .node_mask = (1 << 14) - 1, .entry_room = 1 << 14,
                                .free_entry = NONE, .segment_room = 64};
    memory->fold = calloc(ANY_SYMBOL, sizeof *fold);
    memory->newest = malloc(2ull * memory->n.segment_room * sizeof(uint32_t));
    memory->earlier = malloc(1ull * memory->n.segment_room * sizeof(uint32_t));
    int complete = memory->fold && memory->newest && memory->earlier;
    for (int i = 0; i < N_ARRAYS; i++) {
        void **array = array_of(memory, i, &used, &held);
        complete &= (*array = calloc(1, held + 1)) != NULL; /* of 0 it might give NULL */
    }
    if (!complete) {
        memory_free(memory);
        return NULL;
    }
    memcpy(memory->fold, fold, n_symbols * sizeof *fold);
    for (int chain = 0; chain < N_CHAINS; chain++)
        memset(memory->head[chain], 0xFF, sizeof(uint32_t) << HEAD_BITS);
    memset(memory->newest, 0xFF, 2ull * memory->n.segment_room * sizeof(uint32_t));
    return memory;
}

/* One more memory that holds the same. */
Memory *memory_copy(Memory *memory) {
    Memory *copy = memory_new(memory->n.n_symbols, memory->fold, &memory->n, UINT64_MAX);
    if (!copy) return NULL;
    for (int i = 0; i < N_ARRAYS; i++) {
        uint64_t used, held;
        void *from = *array_of(memory, i, &used, &held);
        memcpy(*array_of(copy, i, &used, &held), from, used);
    }
    copy->n_free = memory->n_free;
    index_segments(copy);
    return copy;
}

void *memory_array(Memory *memory, int i, uint64_t *used) {
    uint64_t held;
    return i < N_ARRAYS ? *array_of(memory, i, used, &held) : NULL;
}

void memory_sizes(const Memory *memory, Sizes *sizes) { *sizes = memory->n; }

uint32_t memory_length(const Memory *memory) { return memory->n.n_alive; }

typedef struct {
    uint32_t document, n;
    const uint16_t *text;
    Place place;
} Stretch;

/* The next stretch from number `i` on that is alive; returns the number after it, or 0. */
uint32_t memory_stretch(const Memory *memory, uint32_t i, Stretch *found) {
    for (; i < memory->n.n_segments; i++) {
        const Segment *segment = &memory->segments[i];
        if (segment->first == segment->end) continue;
        *found = (Stretch){segment->document, segment->end - segment->first,
                           memory->text + segment->first, segment->place};
        return i + 1;
    }
    return 0;
}

/* -- whether arrays that were stored are a memory ---------------------------------------------- */

/* Every link leads to an older place, so that each walk ends. */
static int links_are_sound(const Memory *memory) {
    uint32_t n_text = memory->n.n_text;
    for (int chain = 0; chain < N_CHAINS; chain++) {
        for (uint32_t at = 0; at < n_text; at++) {
            uint32_t before = memory->previous[chain][at];
            if (before != NONE && before >= at) return 0;
        }
        for (uint32_t key = 0; key < 1u << HEAD_BITS; key++) {
            uint32_t at = memory->head[chain][key];
            if (at != NONE && at >= n_text) return 0;
        }
    }
    return 1;
}

static int place_is_sound(const Memory *memory, const Place *place) {
    for (int i = 0; i < REACH; i++)
        if (place->recent[i] >= memory->n.n_symbols) return 0;
    return place->n_recent >= 1 && place->n_recent <= REACH;
}

/* Segments lie in order, what lives in them is text, and it adds up. */
static int segments_are_sound(const Memory *memory) {
    uint64_t n_alive = 0;
    uint32_t from = 0;
    for (uint32_t at = 0; at < memory->n.n_text; at++)
        if (memory->text[at] >= memory->n.n_symbols && memory->text[at] != DEAD) return 0;
    for (uint32_t i = 0; i < memory->n.n_segments; i++) {
        const Segment *segment = &memory->segments[i];
        if (!(from <= segment->start && segment->start <= segment->first &&
              segment->first <= segment->end && segment->end <= memory->n.n_text &&
              place_is_sound(memory, &segment->place)))
            return 0;
        for (uint32_t at = segment->first; at < segment->end; at++)
            if (memory->text[at] == DEAD) return 0;
        n_alive += segment->end - segment->first;
        from = segment->end;
    }
    return n_alive == memory->n.n_alive;
}

/* Each entry is in one list, once; a list has no symbol twice, and its counts add up. `used` marks
   entries and `last_node` by symbol the list that had it last; both come filled with zeros. */
static int counts_are_sound(const Memory *memory, uint8_t *used, uint32_t *last_node) {
    const Sizes *n = &memory->n;
    uint32_t n_used = 0, n_nodes = 0;
    for (uint32_t i = 0; i <= n->node_mask; i++) {
        const Node *node = &memory->nodes[i];
        uint64_t total = 0;
        if (!node->key) continue;
        n_nodes++;
        for (uint32_t at = node->first; at != NONE; at = memory->entries[at].next) {
            if (at >= n->n_entries || used[at]) return 0;
            const Entry *entry = &memory->entries[at];
            if (entry->symbol >= n->n_symbols || !entry->count) return 0;
            if (last_node[entry->symbol] == i + 1) return 0;
            last_node[entry->symbol] = i + 1;
            used[at] = 1;
            n_used++;
            total += entry->count;
        }
        if (total != node->total || total > n->n_alive) return 0;
    }
    for (uint32_t at = n->free_entry; at != NONE; at = memory->entries[at].next) {
        if (at >= n->n_entries || used[at]) return 0;
        used[at] = 1;
        n_used++;
    }
    return n_used == n->n_entries && n_nodes == n->n_nodes;
}

/* Whether the arrays that were filled in are those of a memory, so that nothing that is done with
   it can go wrong; that the counts are those of the text is left to the checksum. To be called
   once, before the memory is used. */
uint32_t memory_sound(Memory *memory) {
    uint8_t *used = calloc(memory->n.n_entries + 1ull, 1);
    uint32_t *last_node = calloc(memory->n.n_symbols, sizeof *last_node);
    int sound = used && last_node && links_are_sound(memory) && segments_are_sound(memory) &&
                counts_are_sound(memory, used, last_node);
    free(used);
    free(last_node);
    if (!sound) return 0;
    for (uint32_t at = memory->n.free_entry; at != NONE; at = memory->entries[at].next)
        memory->n_free++;
    index_segments(memory);
    return 1;
}

/* -- what comes next -------------------------------------------------------------------------- */

/* Within 4e-6 of the true ones, by polynomials fitted to one octave; the compiler can do several at
   once, which it cannot with those of the library. */
static inline float fast_log2(float x) {
    union { float f; uint32_t bits; } v = {x};
    float exponent = (float)((int)(v.bits >> 23) - 127);
    v.bits = (v.bits & 0x7FFFFF) | 0x3F800000;
    float y = v.f - 1.0f;
    float p = -0.27734165f + y * (0.12147295f + y * -0.02579235f);
    return exponent + y * (1.44253478f + y * (-0.71803359f + y * (0.45715812f + y * p)));
}

static inline float fast_exp2(float x) {
    x = x < -126.0f ? -126.0f : x;
    int whole = (int)x;
    whole -= x < (float)whole; /* rounded down, which floorf is slower at */
    float r = x - (float)whole;
    union { uint32_t bits; float f; } v = {(uint32_t)(whole + 127) << 23};
    float p = 0.05583660f + r * (0.00897290f + r * 0.00188540f);
    return v.f * (1.0f + r * (0.69315254f + r * (0.24015244f + r * p)));
}

static int class_of_total(float total) {
    static const float most[N_TOTALS - 1] = {1, 2, 3, 5, 8, 16, 32, 128, 1024};
    int i = 0;
    while (i < N_TOTALS - 1 && total > most[i] + 0.5f) i++;
    return i;
}

static int class_of_spread(int distinct, float total) {
    if (distinct == 1) return 0;
    if (distinct == 2) return total > 7 ? 1 : 2;
    return distinct <= 4 ? 3 : 4;
}

/* Bring in what followed one context, `shares` from `from` on: p := (1 - escape) q + escape p.
   A little is taken off each count, for it says less of what will come than of what has come. */
static void refine(
    Trace *trace, const Mixer *mixer, float *p, uint32_t n_symbols, int level, int from, int to) {
    const float discount = level ? 0.6f : 0.0f; /* of 0 to 0.8, the best on notes, prose and verse */
    float total = 0;
    for (int i = from; i < to; i++) total += trace->shares[i];
    if (total <= 0) return;
    Refinement *refinement = &trace->refinements[trace->n_refinements++];
    *refinement = (Refinement){level, class_of_total(total),
                               class_of_spread(to - from, total), from, to};
    float escape = mixer->escape[level][refinement->total][refinement->spread];

    /* Not added up one by one: that rounds by the order of the entries, in which what was forgotten
       leaves its trace. Counts add up exactly. */
    float kept = total - discount * (float)(to - from);
    for (uint32_t s = 0; s < n_symbols; s++) p[s] *= escape;
    for (int i = from; i < to; i++) {
        trace->shares[i] = (trace->shares[i] - discount) / kept;
        p[trace->symbols[i]] += (1 - escape) * trace->shares[i];
    }
}

static void put(Trace *trace, int *to, uint16_t symbol, float share) {
    trace->symbols[*to] = symbol;
    trace->shares[(*to)++] = share;
}

static void vote(Trace *trace, int from, uint16_t symbol, float weight) {
    int i = from;
    while (i < trace->n_shares && trace->symbols[i] != symbol) i++;
    if (i == trace->n_shares) {
        trace->symbols[i] = symbol;
        trace->shares[i] = 0;
        trace->n_shares++;
    }
    trace->shares[i] += weight;
}

typedef struct {
    int n;
    uint16_t symbol[MOST_CANDIDATES];
    uint8_t length[MOST_CANDIDATES];
} Candidates;

typedef struct {
    int n[N_CHAINS];
    uint32_t places[N_CHAINS][CHAIN_MOST];
} Walks;

/* The newest places of each list. All lists advance together, and what stands at a place is sent
   for before it is needed: waiting for memory is most of what a prediction takes. */
static void walk(const Memory *memory, const Place *place, Walks *walks) {
    uint32_t at[N_CHAINS];
    for (int chain = 0; chain < N_CHAINS; chain++) {
        uint32_t key = chain_key(place, chain);
        at[chain] = key == NONE ? NONE : memory->head[chain][key];
        walks->n[chain] = 0;
    }
    for (int busy = 1; busy;) {
        busy = 0;
        for (int chain = 0; chain < N_CHAINS; chain++) {
            if (at[chain] == NONE || walks->n[chain] == chain_walk[chain]) continue;
            busy = 1;
            uint32_t here = at[chain];
            at[chain] = memory->previous[chain][here];
            if (at[chain] != NONE) {
                __builtin_prefetch(&memory->previous[chain][at[chain]]);
                __builtin_prefetch(&memory->text[at[chain]]);
            }
            if (memory->text[here] != DEAD) walks->places[chain][walks->n[chain]++] = here;
        }
    }
}

/* Places whose context ends like this one, the newest of each chain; the longest chain first. */
static void find_candidates(
    const Memory *memory, const Place *place, const Walks *walks, Candidates *found) {
    static const int chains[] = {TWELVE, SIX};
    found->n = 0;
    for (int c = 0; c < 2; c++) {
        int chain = chains[c];
        for (int i = 0; i < walks->n[chain]; i++) {
            uint32_t at = walks->places[chain][i];
            uint32_t length = match_length(memory, place, at);
            int known = chain == SIX && length >= chain_order[TWELVE];
            if (length < chain_order[chain] || known) continue;
            found->symbol[found->n] = memory->text[at];
            found->length[found->n++] = (uint8_t)length;
        }
    }
}

/* Refine by what was counted: after no context, then after those of 1 to 5 symbols. */
static void by_counts(const Memory *memory, const uint64_t *keys, uint32_t longest,
                      const Mixer *mixer, Trace *trace, float *p) {
    uint32_t n_symbols = memory->n.n_symbols;
    int to[COUNTED + 1] = {0};
    for (uint32_t s = 0; s < n_symbols; s++)
        if (memory->count0[s]) put(trace, &to[0], (uint16_t)s, (float)memory->count0[s]);
    refine(trace, mixer, p, n_symbols, 0, 0, to[0]);

    trace->length = 0;
    uint32_t at[COUNTED + 1];
    for (uint32_t k = 1; k <= longest; k++) {
        const Node *node = node_of(memory, keys[k]);
        if (!node->key || !node->total) break;
        at[k] = node->first;
        to[k] = (int)k * MAX_SYMBOLS;
        trace->length = (int)k;
    }
    for (int busy = 1; busy;) { /* all contexts together, as in `walk` */
        busy = 0;
        for (int k = 1; k <= trace->length; k++) {
            if (at[k] == NONE) continue;
            busy = 1;
            Entry entry = memory->entries[at[k]];
            at[k] = entry.next;
            if (at[k] != NONE) __builtin_prefetch(&memory->entries[at[k]]);
            put(trace, &to[k], entry.symbol, (float)entry.count);
        }
    }
    for (int k = 1; k <= trace->length; k++) {
        refine(trace, mixer, p, n_symbols, k, k * MAX_SYMBOLS, to[k]);
        if (k == LOW_ORDER) memcpy(trace->low, p, n_symbols * sizeof *p);
    }
    if (trace->length < LOW_ORDER) memcpy(trace->low, p, n_symbols * sizeof *p);
}

/* Refine by what followed longer matches, the shorter bounds first. Each set of candidates counts
   once, with the longest context that all of it shares. */
static void by_matches(uint32_t n_symbols, const Candidates *found, const Mixer *mixer,
                       Trace *trace, float *p) {
    int n_at_least[N_BOUNDS + 1] = {0};
    for (int b = 0; b < N_BOUNDS; b++)
        for (int i = 0; i < found->n; i++) n_at_least[b] += found->length[i] >= bounds[b];
    for (int b = 0; b < N_BOUNDS; b++) {
        if (n_at_least[b] == n_at_least[b + 1]) continue;
        int from = trace->n_shares, rank = 0;
        for (int i = 0; i < found->n; i++)
            if (found->length[i] >= bounds[b]) /* the newest counts four times, then less and less */
                vote(trace, from, found->symbol[i], 1 + 3.0f / (float)++rank);
        refine(trace, mixer, p, n_symbols, 1 + COUNTED + b, from, trace->n_shares);
    }
}

/* The distributions by contexts of up to three symbols, by all that are counted, and by those of
   every length: each is where the next begins. */
static void by_orders(const Memory *memory, const uint64_t *keys, uint32_t longest,
                      const Candidates *found, const Mixer *mixer, Trace *trace) {
    uint32_t n_symbols = memory->n.n_symbols;
    float *p = trace->orders;
    for (uint32_t s = 0; s < n_symbols; s++) p[s] = 1.0f / (float)n_symbols;
    by_counts(memory, keys, longest, mixer, trace, p);
    memcpy(trace->middle, p, n_symbols * sizeof *p);
    trace->n_shares = VOTES_FROM;
    by_matches(n_symbols, found, mixer, trace, p);
    trace->deepest = trace->n_refinements - 1;
}

/* The distribution by orders, refined by what followed the same two words. */
static void by_words(
    const Memory *memory, const Place *place, const Walks *walks, const Mixer *mixer, Trace *trace) {
    memcpy(trace->words, trace->orders, memory->n.n_symbols * sizeof *trace->words);
    int n_before = trace->n_refinements, from = trace->n_shares;
    for (int i = 0; i < walks->n[WORDS]; i++) {
        uint32_t at = walks->places[WORDS][i];
        if (same_letters(memory, place, at)) vote(trace, from, memory->text[at], 1);
    }
    int level = 1 + COUNTED + N_BOUNDS + !place->letters;
    refine(trace, mixer, trace->words, memory->n.n_symbols, level, from, trace->n_shares);
    trace->uses[WORD] = trace->n_refinements > n_before;
}

/* What follows the newest of the longest matches, and how often such a match told the truth. */
static void by_match(const Candidates *found, const Mixer *mixer, Trace *trace) {
    int longest = 0, votes = 0;
    for (int i = 0; i < found->n; i++)
        if (found->length[i] > longest) {
            longest = found->length[i];
            trace->match_symbol = found->symbol[i];
        }
    if (!longest) return;
    for (int i = 0; i < found->n; i++) votes += found->length[i] == longest;
    int b = 0;
    while (b + 1 < N_BOUNDS && bounds[b + 1] <= longest) b++;
    trace->uses[MATCH] = 1;
    trace->match_length = b;
    trace->match_votes = votes == 1 ? 0 : votes < 4 ? 1 : 2;
    trace->length = 1 + COUNTED + b;
    float truth = mixer->match[b][trace->match_votes];
    trace->match_stretched = log2f(truth / (1 - truth));
}

/* logs := log2 of softmax(logits), at least -24; returns the highest probability. */
static float by_network(const float *logits, float *logs, uint32_t n_symbols) {
    float top = logits[0], sum = 0;
    for (uint32_t s = 1; s < n_symbols; s++) top = logits[s] > top ? logits[s] : top;
    for (uint32_t s = 0; s < n_symbols; s++) {
        logs[s] = (logits[s] - top) * 1.44269504f;
        sum += fast_exp2(logs[s]);
    }
    float log_sum = fast_log2(sum);
    for (uint32_t s = 0; s < n_symbols; s++) {
        float log = logs[s] - log_sum;
        logs[s] = log < -24 ? -24 : log;
    }
    return 1 / sum;
}

/* Below the first bound a network that learned anything hardly ever is: it expects nothing, so that
   what memory there is must be enough. */
static int sureness(float p) {
    static const float most[N_SURENESS - 1] = {.02f, .1f, .2f, .35f, .5f, .7f, .85f, .95f};
    int i = 0;
    while (i < N_SURENESS - 1 && p >= most[i]) i++;
    return i;
}

/* The first of the highest. */
static int top_of(const float *values, uint32_t n) {
    float highest = values[0];
    int at = 0;
    for (uint32_t i = 1; i < n; i++) highest = values[i] > highest ? values[i] : highest;
    while (values[at] < highest) at++; /* apart from the above, of which several are done at once */
    return at;
}

/* 1) What each expert says, and its logarithms; returns how sure the network is of its first. */
static float ask_experts(const Memory *memory, const Place *place, const Mixer *mixer,
                         const float *logits, Trace *trace) {
    uint32_t n_symbols = memory->n.n_symbols;
    uint64_t keys[COUNTED + 1];
    uint32_t longest = context_keys(place, keys);
    send_for_nodes(memory, keys, longest);
    trace->n_refinements = trace->n_shares = 0;
    trace->uses[LOW] = trace->uses[MIDDLE] = trace->uses[ORDERS] = 1;
    trace->uses[NETWORK] = trace->uses[WORD] = trace->uses[MATCH] = 0;

    Walks walks;
    Candidates found;
    walk(memory, place, &walks);
    find_candidates(memory, place, &walks, &found);
    by_orders(memory, keys, longest, &found, mixer, trace);
    by_words(memory, place, &walks, mixer, trace);
    by_match(&found, mixer, trace);
    for (uint32_t s = 0; s < n_symbols; s++) {
        trace->logs[LOW][s] = fast_log2(trace->low[s] + 1e-8f);
        trace->logs[MIDDLE][s] = fast_log2(trace->middle[s] + 1e-8f);
        trace->logs[ORDERS][s] = fast_log2(trace->orders[s] + 1e-8f);
        trace->logs[WORD][s] = fast_log2(trace->words[s] + 1e-8f);
    }
    if (!logits) return 0;
    float network_top = by_network(logits, trace->logs[NETWORK], n_symbols);
    trace->uses[NETWORK] = network_top > 0; /* not if it is no number */
    return trace->uses[NETWORK] ? network_top : 0;
}

/* Which of the weights by words: whether the longest context that the memory knows reaches back
   over the whole word, whether one symbol alone followed it, whether the network expects that one,
   too; and how much the network was surprised by the letters so far. */
static int of_word(const Place *place, const Trace *trace, int agreed, float surprise) {
    static const float most[N_SURPRISES - 1] = {3, 6, 9, 12, 15, 19, 24}; /* bits */
    int known = agreed, i = 0;
    if (trace->deepest >= 0) {
        const Refinement *deepest = &trace->refinements[trace->deepest];
        int level = deepest->level;
        int length = level <= COUNTED ? level : bounds[level - 1 - COUNTED];
        int decided = deepest->to - deepest->from == 1;
        int whole = place->letters && (uint32_t)length >= least(place->letters, REACH - 1);
        known += 2 * decided + 4 * whole;
    }
    while (i < N_SURPRISES - 1 && surprise >= most[i]) i++;
    return known * N_SURPRISES + i;
}

/* 2) How far each is believed here. */
static void weigh(const Memory *memory, const Place *place, const Mixer *mixer, float network_top,
                  float surprise, Trace *trace, float weights[N_EXPERTS]) {
    uint32_t n_symbols = memory->n.n_symbols;
    int top = top_of(trace->orders, n_symbols);
    int agreed = trace->uses[NETWORK] && top == top_of(trace->logs[NETWORK], n_symbols);
    int size = 0;
    while (size < N_SIZES - 1 && memory->n.n_alive >> (size + 10)) size++; /* under 1,024: 0 */
    trace->size = size;
    trace->sureness = sureness(trace->orders[top]) * N_SURENESS +
                      (trace->uses[NETWORK] ? sureness(network_top) : 0);
    trace->letters = (int)least(place->letters, 7) + 8 * trace->uses[WORD];
    trace->word = of_word(place, trace, agreed, surprise);
    for (int i = 0; i < N_EXPERTS; i++)
        weights[i] = mixer->by_length[trace->length][i] + mixer->by_sureness[trace->sureness][i] +
                     mixer->by_letters[trace->letters][i] + mixer->by_size[trace->size][i] +
                     mixer->by_word[trace->word][i];
}

/* 3) The mix, in the logit domain. */
static void mix(const float weights[N_EXPERTS], uint32_t n_symbols, Trace *trace, float *p) {
    float top = -1e30f, sum = 0, *mixed = trace->mixed;
    for (uint32_t s = 0; s < n_symbols; s++)
        mixed[s] = weights[LOW] * trace->logs[LOW][s] + weights[MIDDLE] * trace->logs[MIDDLE][s] +
                   weights[ORDERS] * trace->logs[ORDERS][s] + weights[WORD] * trace->logs[WORD][s];
    if (trace->uses[NETWORK])
        for (uint32_t s = 0; s < n_symbols; s++)
            mixed[s] += weights[NETWORK] * trace->logs[NETWORK][s];
    if (trace->uses[MATCH]) mixed[trace->match_symbol] += weights[MATCH] * trace->match_stretched;
    for (uint32_t s = 0; s < n_symbols; s++) top = mixed[s] > top ? mixed[s] : top;
    for (uint32_t s = 0; s < n_symbols; s++) sum += mixed[s] = fast_exp2(mixed[s] - top);
    for (uint32_t s = 0; s < n_symbols; s++) p[s] = mixed[s] /= sum;
}

/* 4) The last correction: the top symbol's probability moves towards how often one came true that
   was so high. */
static void correct(const Mixer *mixer, Trace *trace, float *p, uint32_t n_symbols) {
    int top = 0;
    for (uint32_t s = 1; s < n_symbols; s++)
        if (p[s] > p[top]) top = (int)s;
    float before = p[top] > 0.9999f ? 0.9999f : p[top];
    float at = (log2f(before / (1 - before)) + 8) * 2; /* 33 points over -8 to 8 */
    at = at < 0 ? 0 : at > N_POINTS - 1.001f ? N_POINTS - 1.001f : at;
    trace->top = top;
    trace->point = (int)at;
    trace->point_share = at - (float)trace->point;
    const float *truth = mixer->truth[trace->length];
    float seen = (1 - trace->point_share) * truth[trace->point] +
                 trace->point_share * truth[trace->point + 1];
    float after = 0.5f * (before + seen);

    /* The others are added up, for of 1 - p[top] little is left but rounding where that is sure;
       where nothing is left of them at all, they are equal. */
    float rest = 0;
    p[top] = 0;
    for (uint32_t s = 0; s < n_symbols; s++) rest += p[s];
    float times = rest > 1e-6f ? (1 - after) / rest : 0;
    float plus = rest > 1e-6f ? 0 : (1 - after) / (float)(n_symbols - 1);
    for (uint32_t s = 0; s < n_symbols; s++) p[s] = p[s] * times + plus;
    p[top] = after;
}

/* How many bits the letters of the word at hand have cost a network, once `symbol` has come where
   it said `logits`, (n_symbols,), and those before it had cost `before`; 0 outside of words. */
float surprise(const Memory *memory, const float *logits, float before, uint16_t symbol) {
    uint32_t n_symbols = memory->n.n_symbols;
    if (symbol >= n_symbols || !memory->fold[symbol]) return 0;
    float top = logits[0], sum = 0;
    for (uint32_t s = 1; s < n_symbols; s++) top = logits[s] > top ? logits[s] : top;
    for (uint32_t s = 0; s < n_symbols; s++) sum += fast_exp2((logits[s] - top) * 1.44269504f);
    return before + fast_log2(sum) - (logits[symbol] - top) * 1.44269504f;
}

/* Probabilities of the next symbol at `place`, (n_symbols,), by the memory and, if there is one, a
   network's `logits`, (n_symbols,), and its `surprise` so far. */
void predict(const Memory *memory, const Place *place, const Mixer *mixer, const float *logits,
             float surprise, Trace *trace, float *p) {
    float weights[N_EXPERTS];
    float network_top = ask_experts(memory, place, mixer, logits, trace);
    weigh(memory, place, mixer, network_top, surprise, trace, weights);
    mix(weights, memory->n.n_symbols, trace, p);
    correct(mixer, trace, p, memory->n.n_symbols);
}

/* -- learning from what came ------------------------------------------------------------------ */

static float moved(float value, float towards, float rate, float low, float high) {
    value += rate * (towards - value);
    return value < low ? low : value > high ? high : value;
}

static void nudge(float *weight, float by) {
    float after = *weight + by;
    if (after > -MOST_WEIGHT && after < MOST_WEIGHT) *weight = after;
}

/* `symbol` came where `predict` left `trace`. */
void learn(uint32_t n_symbols, Mixer *mixer, const Trace *trace, uint16_t symbol, float weight_rate,
           float rate) {
    if (symbol >= n_symbols) return; /* `type` will say so */

    /* 1) weights, along the gradient of the logarithm of the probability */
    for (int i = 0; i < N_EXPERTS; i++) {
        float slope = 0;
        if (!trace->uses[i] && i != WORD) continue;
        if (i == MATCH) {
            slope = (symbol == trace->match_symbol) - trace->mixed[trace->match_symbol];
            slope *= trace->match_stretched;
        } else {
            for (uint32_t s = 0; s < n_symbols; s++) slope -= trace->mixed[s] * trace->logs[i][s];
            slope += trace->logs[i][symbol];
        }
        slope *= weight_rate;
        nudge(&mixer->by_length[trace->length][i], slope);
        nudge(&mixer->by_sureness[trace->sureness][i], slope);
        nudge(&mixer->by_letters[trace->letters][i], slope);
        nudge(&mixer->by_size[trace->size][i], slope);
        nudge(&mixer->by_word[trace->word][i], slope);
    }

    /* 2) escapes, by expectation and maximisation a symbol at a time */
    float p = 1.0f / (float)n_symbols;
    for (int i = 0; i < trace->n_refinements; i++) {
        const Refinement *refinement = &trace->refinements[i];
        float q = 0;
        for (int j = refinement->from; j < refinement->to; j++)
            if (trace->symbols[j] == symbol) q = trace->shares[j];
        float *escape = &mixer->escape[refinement->level][refinement->total][refinement->spread];
        float after = (1 - *escape) * q + *escape * p;
        *escape = moved(*escape, *escape * p / (after + 1e-12f), rate, 0.002f, 0.998f);
        p = after;
    }

    /* 3) how far matches and the top symbol are to be believed */
    if (trace->uses[MATCH]) {
        float *truth = &mixer->match[trace->match_length][trace->match_votes];
        *truth = moved(*truth, symbol == trace->match_symbol, rate, 0.02f, 0.9995f);
    }
    float *truth = &mixer->truth[trace->length][trace->point];
    float came_true = symbol == trace->top;
    truth[0] = moved(truth[0], came_true, rate * (1 - trace->point_share), 0.002f, 0.9998f);
    truth[1] = moved(truth[1], came_true, rate * trace->point_share, 0.002f, 0.9998f);
}

/* Weights from which learning can begin. */
void mixer_begin(Mixer *mixer, int with_network) {
    memset(mixer, 0, sizeof *mixer);
    float *escape = &mixer->escape[0][0][0];
    for (int i = 0; i < N_LEVELS * N_TOTALS * N_SPREADS; i++) escape[i] = 0.3f;
    for (int b = 0; b < N_BOUNDS; b++)
        for (int v = 0; v < 3; v++) mixer->match[b][v] = 0.6f;
    for (int l = 0; l < N_LENGTHS; l++) {
        mixer->by_length[l][NETWORK] = with_network ? 0.5f : 0.0f;
        mixer->by_length[l][ORDERS] = mixer->by_length[l][WORD] = with_network ? 0.25f : 0.5f;
        mixer->by_length[l][MATCH] = 0.1f;
        for (int i = 0; i < N_POINTS; i++)
            mixer->truth[l][i] = 1.0f / (1.0f + exp2f(8.0f - (float)i / 2.0f));
    }
}

static int all_within(const float *values, int n, float low, float high) {
    int within = 1;
    for (int i = 0; i < n; i++) within &= values[i] >= low && values[i] <= high; /* nor NaN */
    return within;
}

/* Whether these are numbers of which `predict` makes a distribution. */
uint32_t mixer_sound(const Mixer *mixer) {
    const float *weights = &mixer->by_length[0][0];
    int n_weights = (int)(&mixer->truth[0][0] - weights);
    return (uint32_t)(all_within(&mixer->escape[0][0][0], N_LEVELS * N_TOTALS * N_SPREADS,
                                 0.001f, 0.999f) &&
                      all_within(&mixer->match[0][0], N_BOUNDS * 3, 0.01f, 0.9999f) &&
                      all_within(weights, n_weights, -MOST_WEIGHT, MOST_WEIGHT) &&
                      all_within(&mixer->truth[0][0], N_LENGTHS * N_POINTS, 0.001f, 0.9999f));
}

/* -- what Python must know of this file -------------------------------------------------------- */

/* A number by its name; 0 for an unknown one. */
uint32_t constant(const char *name) {
    static const struct { const char *name; uint32_t value; } known[] = {
        {"place_bytes", sizeof(Place)}, {"mixer_bytes", sizeof(Mixer)},
        {"trace_bytes", sizeof(Trace)}, {"sizes_bytes", sizeof(Sizes)},
        {"n_arrays", N_ARRAYS},         {"most_symbols", MAX_SYMBOLS},
        {"source", SOURCE},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, name)) return known[i].value;
    return 0;
}
