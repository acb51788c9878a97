/* A stand-in for libnvidia-ml.so.1 that the real nvidia-ml-py loads through LD_LIBRARY_PATH.
 *
 * FAKE_NVML_SCENARIO names a text file, read again by every nvmlInit; one record per line,
 * values with blanks in double quotes. FAKE_NVML_LOG, if set, gets one line per call.
 *
 *   driver version=550.54.14 nvml=12.550.54.14 cuda=12040
 *   gpu 0 uuid=GPU-a name="NVIDIA A100" minor=0 bus=00000000:01:00.0 mem_total=BYTES mem_used=
 *         mem_reserved= util= mem_util= persistence=0|1 compute_mode=0..3 mig=0|1 mig_pending=0|1
 *         mig_slots= whole_ids=0|1 power_mw= power_limit_mw= energy_mj= temperature=
 *   mig gpu=0 uuid=MIG-a gi=1 ci=0 profile=1g.5gb gslices=1 cslices=1 mem_total= mem_used=
 *   process gpu=0 pid=4711 type=C|G|M|C+G mem=BYTES|none gi= ci=
 *   sample gpu=0 pid=4711 at=US|-US sm= mem= enc= dec=    recorded then, or so long before nvmlInit;
 *         as the driver does, one row per process with the mean of its samples is given
 *   fault function=NAME|* gpu=N|* return=CODE after=N     from the (N+1)th matching call on
 *   hang function=NAME|* gpu=N|* after=N                  never returns
 *   crash function=NAME|* gpu=N|* after=N                 takes the process down
 *   delay function=NAME|* gpu=N|* us=MICROSECONDS
 *   energy gpu=0 supported=0|1 file=PATH   a card without counter; or its state is in a file, read
 *         anew by each call: "ENERGY_MJ POWER_MW POWER_LIMIT_MW", later ones may be left out
 *   grow gpu=0 by=3 times=2 pid=90000     each of the first TIMES list calls finds BY more
 *
 * Struct layouts and return codes are those of nvml.h. With -DLAYOUT_535 the process structs
 * have the 32 bytes of drivers 535.43 to 535.86 (link without
 * nvmlDeviceGetRunningProcessDetailList then, by which callers tell these drivers).
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, ARGUMENT_VERSION_MISMATCH = 25
};
enum { MAX_GPUS = 16, MAX_MIGS = 8, MAX_PROCESSES = 4096, MAX_RULES = 256, MAX_SAMPLES = 4096 };
#define NONE64 UINT64_MAX
#define NONE32 UINT32_MAX

typedef struct {
    int gpu, is_mig, exists;
    char uuid[96], name[96], bus[32];
    int minor, persistence, compute_mode, mig, mig_pending, mig_slots, whole_ids, util, mem_util, temperature;
    uint32_t gi, ci, gslices, cslices;
    uint64_t mem_total, mem_used, mem_reserved, energy_mj;
    uint32_t power_mw, power_limit_mw;
} Device;

typedef struct { int gpu; uint32_t pid, gi, ci; uint64_t mem; char type[4]; } Process;
typedef struct { int gpu; uint32_t pid, use[4]; int64_t at; } Recorded;
typedef struct { char kind; char function[64]; int gpu, code, after, seen; long us; } Rule;
typedef struct { int by, times, calls; uint32_t pid; } Growth;

static Device gpus[MAX_GPUS], migs[MAX_GPUS][MAX_MIGS];
static Process processes[MAX_PROCESSES];
static Rule rules[MAX_RULES];
static Recorded recorded[MAX_SAMPLES];
static Growth growth[MAX_GPUS];
static int gpu_count, process_count, rule_count, recorded_count, ready;
static char driver_version[80], nvml_version[80];
static int cuda_version;

/* --- energy: values that something else may change while a program runs -------------------- */

typedef struct { int is_set, has_counter; char file[256]; } Energy;
static Energy energies[MAX_GPUS];

/* --- the scenario ------------------------------------------------------------------------- */

static char keys[32][32], values[32][128];
static int pairs;

static void split(const char *at) {
    pairs = 0;
    while (*at && pairs < 32) {
        char *key = keys[pairs], *value = values[pairs];
        int k = 0, v = 0, quoted = 0;
        while (*at == ' ' || *at == '\n') at++;
        while (*at && *at != '=' && *at != ' ' && *at != '\n') if (k < 31) key[k++] = *at++; else at++;
        if (*at == '=') at++; else { value[0] = key[k] = 0; if (k) pairs++; continue; }
        for (; *at && (quoted || (*at != ' ' && *at != '\n')); at++) {
            if (*at == '"') quoted = !quoted;
            else if (v < 127) value[v++] = *at;
        }
        key[k] = value[v] = 0;
        pairs++;
    }
}

static const char *text(const char *key, const char *otherwise) {
    for (int i = 0; i < pairs; i++) if (!strcmp(keys[i], key)) return values[i];
    return otherwise;
}

static uint64_t number(const char *key, uint64_t otherwise) {
    const char *value = text(key, NULL);
    if (!value) return otherwise;
    return strcmp(value, "none") ? strtoull(value, NULL, 0) : NONE64;
}

#define COPY(to, from) snprintf(to, sizeof to, "%s", from)

static void read_device(Device *d, int gpu) {
    d->gpu = gpu;
    d->exists = 1;
    COPY(d->uuid, text("uuid", "GPU-none"));
    COPY(d->name, text("name", "NVIDIA Fake"));
    COPY(d->bus, text("bus", "00000000:00:00.0"));
    d->minor = (int)number("minor", (uint64_t)gpu);
    d->mem_total = number("mem_total", 0);
    d->mem_used = number("mem_used", 0);
    d->mem_reserved = number("mem_reserved", 0);
    d->util = (int)number("util", 0);
    d->mem_util = (int)number("mem_util", 0);
    d->persistence = (int)number("persistence", 1);
    d->compute_mode = (int)number("compute_mode", 0);
    d->mig = (int)number("mig", NONE64);
    d->mig_pending = (int)number("mig_pending", (uint64_t)(int64_t)d->mig);
    d->mig_slots = (int)number("mig_slots", 7);
    d->whole_ids = (int)number("whole_ids", 1); /* 0: the whole GPU's list has no instances */
    d->power_mw = (uint32_t)number("power_mw", 50000);
    d->power_limit_mw = (uint32_t)number("power_limit_mw", 400000);
    d->energy_mj = number("energy_mj", 1000);
    d->temperature = (int)number("temperature", 40);
}

static void read_mig(void) {
    int gpu = (int)number("gpu", 0), slot = 0;
    if (gpu < 0 || gpu >= MAX_GPUS) return;
    while (slot < MAX_MIGS - 1 && migs[gpu][slot].exists) slot++;
    Device *m = &migs[gpu][slot];
    read_device(m, gpu);
    m->is_mig = 1;
    m->gi = (uint32_t)number("gi", 0);
    m->ci = (uint32_t)number("ci", 0);
    m->gslices = (uint32_t)number("gslices", 1);
    m->cslices = (uint32_t)number("cslices", 1);
    snprintf(m->name, sizeof m->name, "%.60s MIG %.20s", gpus[gpu].name, text("profile", "1g.5gb"));
}

static void read_process(void) {
    if (process_count == MAX_PROCESSES) return;
    Process *p = &processes[process_count++];
    p->gpu = (int)number("gpu", 0);
    p->pid = (uint32_t)number("pid", 0);
    p->mem = number("mem", 0);
    p->gi = (uint32_t)number("gi", NONE32);
    p->ci = (uint32_t)number("ci", NONE32);
    COPY(p->type, text("type", "C"));
}

static void read_sample(void) {
    static const char *names[] = {"sm", "mem", "enc", "dec"};
    if (recorded_count == MAX_SAMPLES) return;
    Recorded *s = &recorded[recorded_count++];
    s->gpu = (int)number("gpu", 0);
    s->pid = (uint32_t)number("pid", 0);
    for (int i = 0; i < 4; i++) s->use[i] = (uint32_t)number(names[i], 0);
    s->at = (int64_t)number("at", 0);
    if (s->at < 0) {
        struct timeval now;
        gettimeofday(&now, NULL);
        s->at += (int64_t)now.tv_sec * 1000000 + now.tv_usec;
    }
}

static void read_rule(char kind) {
    if (rule_count == MAX_RULES) return;
    Rule *r = &rules[rule_count++];
    r->kind = kind;
    COPY(r->function, text("function", "*"));
    const char *gpu = text("gpu", "*");
    r->gpu = strcmp(gpu, "*") ? atoi(gpu) : -1;
    r->code = (int)number("return", 999);
    r->after = (int)number("after", 0);
    r->us = (long)number("us", 0);
}

static void read_growth(void) {
    int gpu = (int)number("gpu", 0);
    if (gpu < 0 || gpu >= MAX_GPUS) return;
    growth[gpu] = (Growth){(int)number("by", 1), (int)number("times", 1), 0,
                           (uint32_t)number("pid", 90000)};
}

static void read_energy(void) {
    int gpu = (int)number("gpu", 0);
    if (gpu < 0 || gpu >= MAX_GPUS) return;
    Energy *e = &energies[gpu];
    e->is_set = 1;
    e->has_counter = (int)number("supported", 1);
    COPY(e->file, text("file", ""));
}

static void read_line(char *line) {
    split(line);
    if (!pairs || keys[0][0] == '#') return;
    const char *what = keys[0];
    if (!strcmp(what, "gpu") && pairs > 1) {
        int index = atoi(keys[1]);
        if (index < 0 || index >= MAX_GPUS) return;
        read_device(&gpus[index], index);
        if (index >= gpu_count) gpu_count = index + 1;
    } else if (!strcmp(what, "driver")) {
        COPY(driver_version, text("version", driver_version));
        COPY(nvml_version, text("nvml", nvml_version));
        cuda_version = (int)number("cuda", (uint64_t)cuda_version);
    }
    else if (!strcmp(what, "mig")) read_mig();
    else if (!strcmp(what, "process")) read_process();
    else if (!strcmp(what, "sample")) read_sample();
    else if (!strcmp(what, "energy")) read_energy();
    else if (!strcmp(what, "fault")) read_rule('f');
    else if (!strcmp(what, "hang")) read_rule('h');
    else if (!strcmp(what, "crash")) read_rule('c');
    else if (!strcmp(what, "delay")) read_rule('d');
    else if (!strcmp(what, "grow")) read_growth();
    else { fprintf(stderr, "fake_nvml: unknown record %s\n", what); abort(); }
}

static void read_scenario(void) {
    static char line[4096];
    const char *path = getenv("FAKE_NVML_SCENARIO");
    FILE *file = path ? fopen(path, "r") : NULL;
    memset(gpus, 0, sizeof gpus);
    memset(migs, 0, sizeof migs);
    memset(growth, 0, sizeof growth);
    memset(rules, 0, sizeof rules);
    memset(energies, 0, sizeof energies);
    gpu_count = process_count = rule_count = recorded_count = 0;
    cuda_version = 12040;
    COPY(driver_version, "550.54.14");
    COPY(nvml_version, "12.550.54.14");
    if (!file) return;
    while (fgets(line, sizeof line, file)) read_line(line);
    fclose(file);
}

/* --- what happens before every answer ----------------------------------------------------- */

static void note(const char *function, int gpu) {
    const char *path = getenv("FAKE_NVML_LOG");
    FILE *log = path ? fopen(path, "a") : NULL;
    if (!log) return;
    fprintf(log, "%s %d\n", function, gpu);
    fclose(log);
}

static int gate(const char *function, int gpu) {
    note(function, gpu);
    for (int i = 0; i < rule_count; i++) {
        Rule *r = &rules[i];
        if (strcmp(r->function, "*") ? strcmp(r->function, function) != 0 : gpu < 0) continue;
        if (r->gpu >= 0 && r->gpu != gpu) continue;
        if (r->seen++ < r->after) continue;
        if (r->kind == 'd') usleep((useconds_t)r->us);
        if (r->kind == 'f') return r->code;
        if (r->kind == 'c') abort();
        while (r->kind == 'h') pause();
    }
    return SUCCESS;
}

#define SYSTEM() do { int r_ = gate(__func__, -1); if (r_) return r_; \
                      if (!ready) return UNINITIALIZED; } while (0)
#define DEVICE(d) do { if (!ready) return UNINITIALIZED; if (!(d)) return INVALID_ARGUMENT; \
                       int r_ = gate(__func__, (d)->gpu); if (r_) return r_; } while (0)
#define NOT_ON_MIG(d) do { if ((d)->is_mig) return NOT_SUPPORTED; } while (0)

/* --- the library -------------------------------------------------------------------------- */

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    read_scenario();
    int code = gate("nvmlInit", -1);
    ready = code == SUCCESS;
    return code;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlInit(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { SYSTEM(); ready = 0; return SUCCESS; }

const char *nvmlErrorString(int code) {
    static char said[40];
    snprintf(said, sizeof said, "Fake NVML error %d", code);
    return said;
}

static int give(char *to, unsigned size, const char *from) {
    if (strlen(from) >= size) return INSUFFICIENT_SIZE;
    strcpy(to, from);
    return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *to, unsigned size) { SYSTEM(); return give(to, size, driver_version); }
int nvmlSystemGetNVMLVersion(char *to, unsigned size) { SYSTEM(); return give(to, size, nvml_version); }
int nvmlSystemGetCudaDriverVersion(int *v) { SYSTEM(); *v = cuda_version; return SUCCESS; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { SYSTEM(); *v = cuda_version; return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *count) { SYSTEM(); *count = (unsigned)gpu_count; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **d) {
    if (!ready) return UNINITIALIZED;
    if (index >= (unsigned)gpu_count) return INVALID_ARGUMENT;
    int code = gate(__func__, (int)index);
    *d = &gpus[index];
    return code;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **d) {
    if (!ready) return UNINITIALIZED;
    for (int i = 0; i < gpu_count; i++) {
        if (!strcmp(gpus[i].uuid, uuid)) { *d = &gpus[i]; return gate(__func__, i); }
        for (int j = 0; j < MAX_MIGS; j++)
            if (migs[i][j].exists && !strcmp(migs[i][j].uuid, uuid)) {
                *d = &migs[i][j];
                return gate(__func__, i);
            }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, Device **d) {
    if (!ready) return UNINITIALIZED;
    for (int i = 0; i < gpu_count; i++)
        if (!strcmp(gpus[i].bus, bus)) { *d = &gpus[i]; return gate(__func__, i); }
    return NOT_FOUND;
}

int nvmlDeviceGetIndex(Device *d, unsigned *v) { DEVICE(d); *v = (unsigned)d->gpu; return SUCCESS; }
int nvmlDeviceGetName(Device *d, char *to, unsigned size) { DEVICE(d); return give(to, size, d->name); }
int nvmlDeviceGetUUID(Device *d, char *to, unsigned size) { DEVICE(d); return give(to, size, d->uuid); }
int nvmlDeviceGetSerial(Device *d, char *to, unsigned size) { DEVICE(d); return give(to, size, "0"); }
int nvmlDeviceGetMinorNumber(Device *d, unsigned *v) {
    DEVICE(d); NOT_ON_MIG(d); *v = (unsigned)d->minor; return SUCCESS;
}

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char id[32];
} Pci;

int nvmlDeviceGetPciInfo_v3(Device *d, Pci *pci) {
    DEVICE(d);
    memset(pci, 0, sizeof *pci);
    sscanf(d->bus, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    snprintf(pci->legacy, sizeof pci->legacy, "%04X:%02X:%02X.0", pci->domain & 0xFFFF,
             pci->bus & 0xFF, pci->device & 0xFF);
    snprintf(pci->id, sizeof pci->id, "%s", d->bus);
    return SUCCESS;
}

typedef struct { uint64_t total, free, used; } Memory;
typedef struct { unsigned version; uint64_t total, reserved, free, used; } Memory2;
_Static_assert(sizeof(Memory2) == 40, "nvmlMemory_v2_t");

int nvmlDeviceGetMemoryInfo(Device *d, Memory *m) {
    DEVICE(d);
    m->total = d->mem_total;
    m->used = d->mem_used + d->mem_reserved; /* version 1 counts what the driver keeps */
    m->free = m->total - m->used;
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo_v2(Device *d, Memory2 *m) {
    DEVICE(d);
    if (m->version != 0x02000028) return ARGUMENT_VERSION_MISMATCH;
    m->total = d->mem_total;
    m->reserved = d->mem_reserved;
    m->used = d->mem_used;
    m->free = m->total - m->used - m->reserved;
    return SUCCESS;
}
int nvmlDeviceGetBAR1MemoryInfo(Device *d, Memory *m) {
    DEVICE(d); m->total = m->free = 1 << 28; m->used = 0; return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(Device *d, unsigned rates[2]) {
    DEVICE(d);
    if (d->is_mig || d->mig == 1) return NOT_SUPPORTED;
    rates[0] = (unsigned)d->util;
    rates[1] = (unsigned)d->mem_util;
    return SUCCESS;
}
int nvmlDeviceGetPersistenceMode(Device *d, unsigned *v) {
    DEVICE(d); NOT_ON_MIG(d); *v = (unsigned)d->persistence; return SUCCESS;
}
int nvmlDeviceGetComputeMode(Device *d, unsigned *v) {
    DEVICE(d); *v = (unsigned)d->compute_mode; return SUCCESS;
}

/* MIG */

int nvmlDeviceGetMigMode(Device *d, unsigned *current, unsigned *pending) {
    DEVICE(d);
    if (d->is_mig || d->mig < 0) return NOT_SUPPORTED;
    *current = (unsigned)d->mig;
    *pending = (unsigned)d->mig_pending;
    return SUCCESS;
}
int nvmlDeviceGetMaxMigDeviceCount(Device *d, unsigned *v) {
    DEVICE(d); *v = d->mig < 0 ? 0 : (unsigned)d->mig_slots; return SUCCESS;
}
int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, unsigned index, Device **mig) {
    DEVICE(d);
    if (index >= MAX_MIGS || !migs[d->gpu][index].exists) return NOT_FOUND;
    *mig = &migs[d->gpu][index];
    return SUCCESS;
}
int nvmlDeviceIsMigDeviceHandle(Device *d, unsigned *v) { DEVICE(d); *v = (unsigned)d->is_mig; return SUCCESS; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *d, Device **parent) {
    DEVICE(d); *parent = &gpus[d->gpu]; return d->is_mig ? SUCCESS : INVALID_ARGUMENT;
}
int nvmlDeviceGetGpuInstanceId(Device *d, unsigned *v) {
    DEVICE(d); *v = d->gi; return d->is_mig ? SUCCESS : NOT_SUPPORTED;
}
int nvmlDeviceGetComputeInstanceId(Device *d, unsigned *v) {
    DEVICE(d); *v = d->ci; return d->is_mig ? SUCCESS : NOT_SUPPORTED;
}

typedef struct {
    unsigned sms, copy, decoder, encoder, jpeg, ofa, gpu_slices, compute_slices;
    uint64_t memory_mb;
} Attributes;

int nvmlDeviceGetAttributes_v2(Device *d, Attributes *a) {
    DEVICE(d);
    if (!d->is_mig) return NOT_SUPPORTED;
    memset(a, 0, sizeof *a);
    a->sms = 14 * d->cslices;
    a->gpu_slices = d->gslices;
    a->compute_slices = d->cslices;
    a->memory_mb = d->mem_total >> 20;
    return SUCCESS;
}

/* process lists */

typedef struct {
    unsigned pid;
    uint64_t mem;
    unsigned gi, ci;
#ifdef LAYOUT_535
    uint64_t protected_mem;
#endif
} Info;
#ifdef LAYOUT_535
_Static_assert(sizeof(Info) == 32, "nvmlProcessInfo_t of 535.43 to 535.86");
#else
_Static_assert(sizeof(Info) == 24, "nvmlProcessInfo_v2_t");
#endif

static int wanted(const Process *p, const Device *d, char type) {
    return p->gpu == d->gpu && strchr(p->type, type) &&
           (!d->is_mig || (p->gi == d->gi && p->ci == d->ci));
}

static int list(Device *d, unsigned *count, Info *infos, char type) {
    Growth *g = &growth[d->gpu];
    unsigned room = *count, found = 0;
    if (type == 'C' && g->calls < g->times) g->calls++;
    unsigned grown = type == 'C' ? (unsigned)(g->calls * g->by) : 0;
    for (int i = 0; i < process_count; i++) found += (unsigned)wanted(&processes[i], d, type);
    *count = found + grown;
    if (*count > room) return INSUFFICIENT_SIZE;
    unsigned at = 0;
    for (int i = 0; i < process_count; i++)
        if (wanted(&processes[i], d, type)) {
            Process *p = &processes[i];
            int ids = d->is_mig || d->whole_ids;
            infos[at++] = (Info){.pid = p->pid, .mem = p->mem, .gi = ids ? p->gi : NONE32,
                                 .ci = ids ? p->ci : NONE32};
        }
    for (unsigned i = 0; i < grown; i++)
        infos[at++] = (Info){.pid = g->pid + i, .mem = 1 << 20, .gi = NONE32, .ci = NONE32};
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *n, Info *i) { DEVICE(d); return list(d, n, i, 'C'); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device *d, unsigned *n, Info *i) { DEVICE(d); return list(d, n, i, 'G'); }
int nvmlDeviceGetMPSComputeRunningProcesses_v3(Device *d, unsigned *n, Info *i) { DEVICE(d); return list(d, n, i, 'M'); }
#ifndef LAYOUT_535
int nvmlDeviceGetComputeRunningProcesses_v2(Device *d, unsigned *n, Info *i) { DEVICE(d); return list(d, n, i, 'C'); }
int nvmlDeviceGetGraphicsRunningProcesses_v2(Device *d, unsigned *n, Info *i) { DEVICE(d); return list(d, n, i, 'G'); }
int nvmlDeviceGetMPSComputeRunningProcesses_v2(Device *d, unsigned *n, Info *i) { DEVICE(d); return list(d, n, i, 'M'); }
int nvmlDeviceGetRunningProcessDetailList(Device *d, void *list_) { DEVICE(d); (void)list_; return NOT_SUPPORTED; }
#endif
int nvmlDeviceGetConfComputeMemSizeInfo(Device *d, void *info) { DEVICE(d); (void)info; return NOT_SUPPORTED; }

typedef struct { unsigned pid; uint64_t at; unsigned use[4]; } Sample;
_Static_assert(sizeof(Sample) == 32, "nvmlProcessUtilizationSample_t");

/* The mean of what a process did after a moment; told at its first sample, 0 at all others. */
static int summed(int first, uint64_t since, Sample *row) {
    uint64_t sums[4] = {0}, n = 0;
    *row = (Sample){.pid = recorded[first].pid};
    for (int i = 0; i < recorded_count; i++) {
        Recorded *s = &recorded[i];
        if (s->gpu != recorded[first].gpu || s->pid != row->pid || (uint64_t)s->at <= since) continue;
        if (i < first) return 0; /* counted there */
        for (int k = 0; k < 4; k++) sums[k] += s->use[k];
        if ((uint64_t)s->at > row->at) row->at = (uint64_t)s->at;
        n++;
    }
    for (int k = 0; n && k < 4; k++) row->use[k] = (unsigned)(sums[k] / n);
    return n > 0;
}

int nvmlDeviceGetProcessUtilization(Device *d, Sample *samples, unsigned *count, uint64_t since) {
    DEVICE(d);
    if (d->is_mig || d->mig == 1) return NOT_SUPPORTED;
    Sample row;
    unsigned found = 0, room = *count;
    for (int i = 0; i < recorded_count; i++)
        if (recorded[i].gpu == d->gpu && summed(i, since, &row)) {
            if (samples && found < room) samples[found] = row;
            found++;
        }
    if (!found) { *count = 0; return NOT_FOUND; }
    *count = !samples && found < 100 ? 100 : found; /* the driver asks for its whole buffer */
    return samples && found <= room ? SUCCESS : INSUFFICIENT_SIZE;
}

/* power, and what only other tools ask for */

/* Take a GPU's values from its file, if it has one; a file that cannot be read changes nothing. */
static void refresh(Device *d) {
    Energy *e = &energies[d->gpu];
    FILE *file = e->file[0] ? fopen(e->file, "r") : NULL;
    if (!file) return;
    unsigned long long mj = d->energy_mj;
    unsigned mw = d->power_mw, limit = d->power_limit_mw;
    if (fscanf(file, "%llu %u %u", &mj, &mw, &limit) > 0) {
        d->energy_mj = mj;
        d->power_mw = mw;
        d->power_limit_mw = limit;
    }
    fclose(file);
}
int nvmlDeviceGetTotalEnergyConsumption(Device *d, uint64_t *v) {
    DEVICE(d); NOT_ON_MIG(d);
    if (energies[d->gpu].is_set && !energies[d->gpu].has_counter) return NOT_SUPPORTED;
    refresh(d);
    *v = d->energy_mj;
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(Device *d, unsigned *v) { DEVICE(d); NOT_ON_MIG(d); refresh(d); *v = d->power_mw; return SUCCESS; }
int nvmlDeviceGetEnforcedPowerLimit(Device *d, unsigned *v) { DEVICE(d); NOT_ON_MIG(d); refresh(d); *v = d->power_limit_mw; return SUCCESS; }
int nvmlDeviceGetPowerManagementLimit(Device *d, unsigned *v) { DEVICE(d); NOT_ON_MIG(d); refresh(d); *v = d->power_limit_mw; return SUCCESS; }
int nvmlDeviceGetTemperature(Device *d, unsigned sensor, unsigned *v) { DEVICE(d); (void)sensor; *v = (unsigned)d->temperature; return SUCCESS; }
int nvmlDeviceGetTemperatureV(Device *d, int v[3]) { DEVICE(d); v[2] = d->temperature; return SUCCESS; }
int nvmlDeviceGetFanSpeed(Device *d, unsigned *v) { DEVICE(d); (void)v; return NOT_SUPPORTED; }
int nvmlDeviceGetEncoderUtilization(Device *d, unsigned *v, unsigned *us) { DEVICE(d); NOT_ON_MIG(d); *v = *us = 0; return SUCCESS; }
int nvmlDeviceGetDecoderUtilization(Device *d, unsigned *v, unsigned *us) { DEVICE(d); NOT_ON_MIG(d); *v = *us = 0; return SUCCESS; }
int nvmlDeviceGetClockInfo(Device *d, unsigned type, unsigned *v) { DEVICE(d); *v = 1000 + type; return SUCCESS; }
int nvmlDeviceGetMaxClockInfo(Device *d, unsigned type, unsigned *v) { DEVICE(d); *v = 2000 + type; return SUCCESS; }
int nvmlDeviceGetPerformanceState(Device *d, unsigned *v) { DEVICE(d); *v = 0; return SUCCESS; }
int nvmlDeviceGetPcieThroughput(Device *d, unsigned way, unsigned *v) { DEVICE(d); *v = way; return SUCCESS; }
int nvmlDeviceGetTotalEccErrors(Device *d, unsigned type, unsigned counter, uint64_t *v) {
    DEVICE(d); (void)type; (void)counter; *v = 0; return SUCCESS;
}
int nvmlDeviceGetDisplayActive(Device *d, unsigned *v) { DEVICE(d); *v = 0; return SUCCESS; }
int nvmlDeviceGetDisplayMode(Device *d, unsigned *v) { DEVICE(d); *v = 0; return SUCCESS; }
int nvmlDeviceGetCudaComputeCapability(Device *d, int *major, int *minor) { DEVICE(d); *major = 8; *minor = 0; return SUCCESS; }
int nvmlDeviceGetDriverModel_v2(Device *d, unsigned *a, unsigned *b) { DEVICE(d); (void)a; (void)b; return NOT_SUPPORTED; }
int nvmlDeviceGetFieldValues(Device *d, int count, void *fields) { DEVICE(d); (void)count; (void)fields; return NOT_SUPPORTED; }
