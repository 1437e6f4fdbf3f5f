/* The inner loops of memory.py and mixing.py, which say what they mean and own what they work on.

   In the order of this file: a place in a text; how often symbols followed short contexts; where
   long contexts were seen; documents; what comes next, by all of these and by a network; learning
   from what came. Needs no more than C99; one thread at a time.
*/

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REACH 32      /* symbols of context that are looked at */
#define COUNTED 5     /* contexts of 1 to 5 symbols are counted exactly, longer ones sampled */
#define MAX_SYMBOLS 8192
#define START 257     /* the symbol that stands before the text of a document */
#define DEAD 0xFFFFu  /* a symbol that was forgotten */
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
#define N_SURENESS 8
#define N_SIZES 16
#define N_LETTERS 16
#define N_POINTS 33 /* of the last correction, over the stretched probability of the top symbol */

typedef struct {
    uint16_t recent[REACH]; /* the latest last */
    uint32_t n_recent;
    uint32_t letters;          /* of the word at hand */
    uint64_t word, word_before; /* hashes of their letters, in lower case */
} Place;

typedef struct {
    uint16_t symbol;
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
    uint16_t *fold;               /* (n_symbols,): 0 for what is no letter, else which one it is */
    uint16_t *text;               /* (n_text,) */
    uint32_t *previous[N_CHAINS]; /* (n_text,) */
    uint32_t *head[N_CHAINS];     /* (1 << HEAD_BITS,) */
    Node *nodes;
    Entry *entries;
    uint32_t *count0; /* (n_symbols,) */
    Segment *segments;
} Memory;

/* All that is learned about how to mix; mixing.py stores it as one array of floats. */
typedef struct {
    float escape[N_LEVELS][N_TOTALS][N_SPREADS];
    float match[N_BOUNDS][3]; /* probability that a match tells the truth */
    float by_length[N_LENGTHS][N_EXPERTS];
    float by_sureness[N_SURENESS * N_SURENESS][N_EXPERTS];
    float by_letters[N_LETTERS][N_EXPERTS];
    float by_size[N_SIZES][N_EXPERTS];
    float truth[N_LENGTHS][N_POINTS]; /* how often a top symbol so sure came true */
} Mixer;

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
    int length, sureness, letters, size, top, point; /* which weights */
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

static Node *node_made(Memory *memory, uint64_t key) {
    Node *node = node_of(memory, key);
    if (node->key) return node;
    if (++memory->n.n_nodes > memory->n.node_mask / 4 * 3) {
        Node *old = memory->nodes;
        uint32_t n_old = memory->n.node_mask + 1;
        memory->n.node_mask = 2 * n_old - 1;
        memory->nodes = resized(NULL, 2ull * n_old * sizeof *old);
        memset(memory->nodes, 0, 2ull * n_old * sizeof *old);
        for (uint32_t i = 0; i < n_old; i++)
            if (old[i].key) *node_of(memory, old[i].key) = old[i];
        free(old);
        node = node_of(memory, key);
    }
    *node = (Node){key, NONE, 0};
    return node;
}

static void count(Memory *memory, const Place *place, uint16_t symbol) {
    uint64_t keys[COUNTED + 1];
    uint32_t longest = context_keys(place, keys);
    for (uint32_t k = 1; k <= longest; k++)
        __builtin_prefetch(&memory->nodes[(uint32_t)(keys[k] >> 20) & memory->n.node_mask]);
    memory->count0[symbol]++;
    for (uint32_t k = 1; k <= longest; k++) {
        Node *node = node_made(memory, keys[k]);
        node->total++;
        uint32_t at = node->first;
        while (at != NONE && memory->entries[at].symbol != symbol) at = memory->entries[at].next;
        if (at != NONE) {
            memory->entries[at].count++;
            continue;
        }
        if (memory->n.free_entry != NONE) {
            at = memory->n.free_entry;
            memory->n.free_entry = memory->entries[at].next;
        } else {
            if (memory->n.n_entries == memory->n.entry_room) {
                memory->n.entry_room += memory->n.entry_room / 2;
                memory->entries = resized(
                    memory->entries, (uint64_t)memory->n.entry_room * sizeof(Entry));
            }
            at = memory->n.n_entries++;
        }
        memory->entries[at] = (Entry){symbol, 1, node->first};
        node->first = at;
    }
}

static void uncount(Memory *memory, const Place *place, uint16_t symbol) {
    uint64_t keys[COUNTED + 1];
    uint32_t longest = context_keys(place, keys);
    memory->count0[symbol]--;
    for (uint32_t k = 1; k <= longest; k++) {
        Node *node = node_of(memory, keys[k]);
        node->total--;
        uint32_t *link = &node->first;
        while (memory->entries[*link].symbol != symbol) link = &memory->entries[*link].next;
        uint32_t at = *link;
        if (--memory->entries[at].count) continue;
        *link = memory->entries[at].next;
        memory->entries[at].next = memory->n.free_entry;
        memory->n.free_entry = at;
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

uint64_t memory_bytes(Memory *memory);

/* -- documents -------------------------------------------------------------------------------- */

static void room_for_text(Memory *memory, uint32_t n) {
    if (memory->n.n_text + n <= memory->n.text_room) return;
    memory->n.text_room += memory->n.text_room / 2 + n;
    memory->text = resized(memory->text, (uint64_t)memory->n.text_room * sizeof *memory->text);
    for (int chain = 0; chain < N_CHAINS; chain++)
        memory->previous[chain] =
            resized(memory->previous[chain], (uint64_t)memory->n.text_room * sizeof(uint32_t));
}

/* A stretch of `document` begins at `place`, with its context before it, so that matches reach
   back over the seam. */
static Segment *begin_segment(Memory *memory, uint32_t document, const Place *place) {
    if (memory->n.n_segments == memory->n.segment_room) {
        memory->n.segment_room *= 2;
        memory->segments = resized(
            memory->segments, (uint64_t)memory->n.segment_room * sizeof(Segment));
    }
    room_for_text(memory, REACH);
    Segment *segment = &memory->segments[memory->n.n_segments++];
    segment->place = *place;
    segment->document = document;
    segment->start = memory->n.n_text;
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

/* Whether one symbol more fits without the arrays growing to more than `limit` bytes in all. */
static int has_room(Memory *memory, uint64_t limit) {
    const Sizes *n = &memory->n;
    uint64_t growth = 0;
    if (n->n_text + REACH + 1 > n->text_room)
        growth += (n->text_room / 2 + REACH) * (uint64_t)(2 + 4 * N_CHAINS);
    if (n->n_nodes + COUNTED > n->node_mask / 4 * 3) growth += (n->node_mask + 1ull) * sizeof(Node);
    if (n->n_entries + COUNTED > n->entry_room) growth += n->entry_room / 2 * (uint64_t)sizeof(Entry);
    if (n->n_segments == n->segment_room) growth += n->segment_room * (uint64_t)sizeof(Segment);
    return !growth || memory_bytes(memory) + growth <= limit;
}

/* Learn `n` symbols that stand at `place` in `document`, and move the place; returns how many of
   them could be learned before the memory would have grown beyond `limit` bytes. */
uint32_t memory_learn(Memory *memory, uint32_t document, Place *place, const uint16_t *symbols,
                      uint32_t n, uint64_t limit) {
    Segment *last = memory->n.n_segments ? &memory->segments[memory->n.n_segments - 1] : NULL;
    int goes_on = last && last->document == document && last->end == memory->n.n_text &&
                  match_length(memory, place, memory->n.n_text) == place->n_recent;
    for (uint32_t i = 0; i < n; i++) {
        if (!has_room(memory, limit)) return i;
        if (!goes_on) last = begin_segment(memory, document, place);
        goes_on = 1;
        append(memory, last, place, symbols[i]);
    }
    return n;
}

/* Leave out what is dead: the text moves together, and the places are linked anew. */
static void compact(Memory *memory) {
    uint32_t n_kept = 0, to = 0;
    for (int chain = 0; chain < N_CHAINS; chain++)
        memset(memory->head[chain], 0xFF, sizeof(uint32_t) << HEAD_BITS);
    for (uint32_t i = 0; i < memory->n.n_segments; i++) {
        Segment segment = memory->segments[i];
        uint32_t length = segment.end - segment.start, context = segment.first - segment.start;
        if (segment.first == segment.end) continue;
        memmove(memory->text + to, memory->text + segment.start, length * sizeof *memory->text);
        segment.start = to;
        segment.first = to + context;
        segment.end = to + length;
        Place place = segment.place;
        for (uint32_t at = segment.start; at < segment.first; at++)
            for (int chain = 0; chain < N_CHAINS; chain++) memory->previous[chain][at] = NONE;
        for (uint32_t at = segment.first; at < segment.end; at++) {
            link_place(memory, &place, at);
            place_observe(memory, &place, memory->text[at]);
        }
        to = segment.end;
        memory->segments[n_kept++] = segment;
    }
    memory->n.n_segments = n_kept;
    memory->n.n_text = to;
}

/* Takes `document` out as if it had never been learned; returns how many symbols it had. */
uint32_t memory_forget(Memory *memory, uint32_t document) {
    uint32_t n_forgotten = 0;
    for (uint32_t i = 0; i < memory->n.n_segments; i++) {
        Segment *segment = &memory->segments[i];
        if (segment->document != document) continue;
        Place place = segment->place;
        for (uint32_t at = segment->first; at < segment->end; at++) {
            uint16_t symbol = memory->text[at];
            uncount(memory, &place, symbol);
            place_observe(memory, &place, symbol);
        }
        n_forgotten += segment->end - segment->first;
        for (uint32_t at = segment->start; at < segment->end; at++) memory->text[at] = DEAD;
        segment->first = segment->end;
    }
    memory->n.n_alive -= n_forgotten;
    if (memory->n.n_text > 2 * memory->n.n_alive + 65536) compact(memory);
    return n_forgotten;
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
    for (int i = 0; i < N_ARRAYS; i++) free(*array_of(memory, i, &used, &held));
    free(memory->fold);
    free(memory);
}

/* An empty memory, or, with `sizes`, one whose arrays are as large and will be filled in. */
Memory *memory_new(uint32_t n_symbols, const uint16_t *fold, const Sizes *sizes) {
    Memory *memory = calloc(1, sizeof *memory);
    uint64_t used, held;
    if (!memory) return NULL;
    memory->n = sizes ? *sizes
                      : (Sizes){.n_symbols = n_symbols, .text_room = 1 << 14,
                                .node_mask = (1 << 14) - 1, .entry_room = 1 << 14,
                                .free_entry = NONE, .segment_room = 64};
    memory->fold = malloc(n_symbols * sizeof *fold);
    int complete = memory->fold != NULL;
    for (int i = 0; i < N_ARRAYS; i++) {
        void **array = array_of(memory, i, &used, &held);
        complete &= (*array = calloc(1, held)) != NULL;
    }
    if (!complete) {
        memory_free(memory);
        return NULL;
    }
    memcpy(memory->fold, fold, n_symbols * sizeof *fold);
    for (int chain = 0; chain < N_CHAINS; chain++)
        memset(memory->head[chain], 0xFF, sizeof(uint32_t) << HEAD_BITS);
    return memory;
}

void *memory_array(Memory *memory, int i, uint64_t *used) {
    uint64_t held;
    return i < N_ARRAYS ? *array_of(memory, i, used, &held) : NULL;
}

uint64_t memory_bytes(Memory *memory) {
    uint64_t total = 0, used, held;
    for (int i = 0; i < N_ARRAYS; i++) array_of(memory, i, &used, &held), total += held;
    return total;
}

void memory_sizes(const Memory *memory, Sizes *sizes) { *sizes = memory->n; }

/* The next stretch from `i` on that is alive: its document, first and end; the number after it. */
uint32_t memory_stretch(const Memory *memory, uint32_t i, uint32_t found[3]) {
    for (; i < memory->n.n_segments; i++) {
        const Segment *segment = &memory->segments[i];
        if (segment->first == segment->end) continue;
        found[0] = segment->document, found[1] = segment->first, found[2] = segment->end;
        return i + 1;
    }
    return 0;
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
    float total = 0, kept = 0;
    for (int i = from; i < to; i++) total += trace->shares[i];
    if (total <= 0) return;
    Refinement *refinement = &trace->refinements[trace->n_refinements++];
    *refinement = (Refinement){level, class_of_total(total),
                               class_of_spread(to - from, total), from, to};
    float escape = mixer->escape[level][refinement->total][refinement->spread];
    for (int i = from; i < to; i++) kept += trace->shares[i] -= discount;
    for (uint32_t s = 0; s < n_symbols; s++) p[s] *= escape;
    for (int i = from; i < to; i++) {
        trace->shares[i] /= kept;
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

/* The distribution by contexts of every length, from none to the longest match. */
static void by_orders(const Memory *memory, const uint64_t *keys, uint32_t longest,
                      const Candidates *found, const Mixer *mixer, Trace *trace) {
    uint32_t n_symbols = memory->n.n_symbols;
    float *p = trace->orders;
    for (uint32_t s = 0; s < n_symbols; s++) p[s] = 1.0f / (float)n_symbols;
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
    trace->n_shares = VOTES_FROM;
    if (trace->length < LOW_ORDER) memcpy(trace->low, p, n_symbols * sizeof *p);
    memcpy(trace->middle, p, n_symbols * sizeof *p);

    /* Each set of candidates counts once, with the longest context that all of it shares. */
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

static int sureness(float p) {
    static const float most[N_SURENESS - 1] = {.1f, .2f, .35f, .5f, .7f, .85f, .95f};
    int i = 0;
    while (i < N_SURENESS - 1 && p >= most[i]) i++;
    return i;
}

static void weights_of(const Mixer *mixer, const Trace *trace, float weights[N_EXPERTS]) {
    for (int i = 0; i < N_EXPERTS; i++)
        weights[i] = mixer->by_length[trace->length][i] + mixer->by_sureness[trace->sureness][i] +
                     mixer->by_letters[trace->letters][i] + mixer->by_size[trace->size][i];
}

/* Move the top symbol's probability towards how often it came true when it was so high. */
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
    float others = (1 - after) / (1 - p[top] + 1e-9f);
    for (uint32_t s = 0; s < n_symbols; s++) p[s] *= others;
    p[top] = after;
}

/* Probabilities of the next symbol at `place`, (n_symbols,), by the memory and, if there is one, a
   network's `logits`, (n_symbols,). */
void predict(const Memory *memory, const Place *place, const Mixer *mixer, const float *logits,
             Trace *trace, float *p) {
    uint32_t n_symbols = memory->n.n_symbols;
    Candidates found;
    uint64_t keys[COUNTED + 1];
    uint32_t longest = context_keys(place, keys);
    for (uint32_t k = 1; k <= longest; k++)
        __builtin_prefetch(&memory->nodes[(uint32_t)(keys[k] >> 20) & memory->n.node_mask]);
    trace->n_refinements = trace->n_shares = 0;
    trace->uses[NETWORK] = logits != NULL;
    trace->uses[LOW] = trace->uses[MIDDLE] = trace->uses[ORDERS] = 1;
    trace->uses[WORD] = trace->uses[MATCH] = 0;

    /* 1) what each expert says */
    Walks walks;
    walk(memory, place, &walks);
    find_candidates(memory, place, &walks, &found);
    by_orders(memory, keys, longest, &found, mixer, trace);
    by_words(memory, place, &walks, mixer, trace);
    by_match(&found, mixer, trace);
    float network_top = logits ? by_network(logits, trace->logs[NETWORK], n_symbols) : 0;
    float orders_top = 0;
    for (uint32_t s = 0; s < n_symbols; s++) {
        orders_top = trace->orders[s] > orders_top ? trace->orders[s] : orders_top;
        trace->logs[LOW][s] = fast_log2(trace->low[s] + 1e-8f);
        trace->logs[MIDDLE][s] = fast_log2(trace->middle[s] + 1e-8f);
        trace->logs[ORDERS][s] = fast_log2(trace->orders[s] + 1e-8f);
        trace->logs[WORD][s] = fast_log2(trace->words[s] + 1e-8f);
    }

    /* 2) how far each is believed here */
    int size = 0;
    while (size < N_SIZES - 1 && memory->n.n_alive >> (size + 6)) size++;
    trace->size = size;
    trace->sureness = sureness(orders_top) * N_SURENESS + (logits ? sureness(network_top) : 0);
    trace->letters = (int)least(place->letters, 7) + 8 * trace->uses[WORD];
    float weights[N_EXPERTS];
    weights_of(mixer, trace, weights);

    /* 3) the mix, in the logit domain */
    float top = -1e30f, sum = 0, *mixed = trace->mixed;
    for (uint32_t s = 0; s < n_symbols; s++)
        mixed[s] = weights[LOW] * trace->logs[LOW][s] + weights[MIDDLE] * trace->logs[MIDDLE][s] +
                   weights[ORDERS] * trace->logs[ORDERS][s] + weights[WORD] * trace->logs[WORD][s];
    if (logits)
        for (uint32_t s = 0; s < n_symbols; s++)
            mixed[s] += weights[NETWORK] * trace->logs[NETWORK][s];
    if (trace->uses[MATCH]) mixed[trace->match_symbol] += weights[MATCH] * trace->match_stretched;
    for (uint32_t s = 0; s < n_symbols; s++) top = mixed[s] > top ? mixed[s] : top;
    for (uint32_t s = 0; s < n_symbols; s++) sum += mixed[s] = fast_exp2(mixed[s] - top);
    for (uint32_t s = 0; s < n_symbols; s++) p[s] = mixed[s] /= sum;

    /* 4) the last correction */
    correct(mixer, trace, p, n_symbols);
}

/* -- learning from what came ------------------------------------------------------------------ */

static float moved(float value, float towards, float rate, float low, float high) {
    value += rate * (towards - value);
    return value < low ? low : value > high ? high : value;
}

/* `symbol` came where `predict` left `trace`. */
void learn(uint32_t n_symbols, Mixer *mixer, const Trace *trace, uint16_t symbol, float weight_rate,
           float rate) {
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
        mixer->by_length[trace->length][i] += weight_rate * slope;
        mixer->by_sureness[trace->sureness][i] += weight_rate * slope;
        mixer->by_letters[trace->letters][i] += weight_rate * slope;
        mixer->by_size[trace->size][i] += weight_rate * slope;
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

/* Sizes in bytes, for whoever allocates: place, mixer, trace, sizes. */
uint32_t size_of(int what) {
    switch (what) {
    case 0: return sizeof(Place);
    case 1: return sizeof(Mixer);
    case 2: return sizeof(Trace);
    default: return sizeof(Sizes);
    }
}
