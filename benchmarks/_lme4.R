# lme4 as a worker: reads one request a line, answers one line of JSON. See _peers.py for the protocol.

suppressMessages(library(lme4))

COUNT <- list(criterion = 20, simulated = 20) # evaluations in one sample; one where nothing is said
BOOTMER <- 20 # replicates of one call
state <- new.env()

load <- function(path, formula, groups) {
  state$formula <- as.formula(formula)
  classes <- setNames(rep("factor", length(groups)), groups)
  state$data <- read.csv(path, colClasses = classes)
  state$fit <- NULL
}

prepare <- function() {
  if (!is.null(state$fit)) return(invisible())
  state$fit <- lmer(state$formula, state$data)
  y <- model.response(model.frame(state$fit))
  state$other <- y * (1 + 0.01 * sin(seq_along(y)))
  set.seed(1)
  state$simulated <- simulate(state$fit, COUNT$simulated)
  state$turn <- 0
  parts <- lFormula(state$formula, state$data)
  state$start <- parts$reTrms$theta
  state$objective <- do.call(mkLmerDevfun, parts)
  state$theta <- getME(state$fit, "theta")
}

answer <- function(fit) list(criterion = REMLcrit(fit), beta = unname(fixef(fit)))
# lmerTest computes what Satterthwaite's method needs when the fit becomes its own.
tested <- function(ddf) {
  table <- coef(summary(lmerTest::as_lmerModLmerTest(state$fit), ddf = ddf))
  list(values = unname(table[, "df"]))
}
tasks <- list(
  profile = function() list(values = c(confint(state$fit, method = "profile", quiet = TRUE))),
  satterthwaite = function() tested("Satterthwaite"),
  `kenward-roger` = function() tested("Kenward-Roger"),
  criterion = function() list(criterion = state$objective(state$theta)),
  optimiser = function() list(criterion = optimizeLmer(state$objective, start = state$start)$fval),
  refit = function() answer(refit(state$fit, state$other)),
  simulated = function() {
    state$turn <- state$turn %% COUNT$simulated + 1
    answer(refit(state$fit, state$simulated[[state$turn]]))
  },
  bootMer = function() list(values = bootMer(state$fit, fixef, nsim = BOOTMER)$t0),
  call = function() answer(lmer(state$formula, state$data))
)

timed <- function(task, budget) {
  if (task != "call") prepare()
  count <- if (is.null(COUNT[[task]])) 1 else COUNT[[task]]
  seconds <- c()
  while (length(seconds) == 0 || sum(seconds) * count < budget) {
    start <- Sys.time()
    for (i in seq_len(count)) result <- tasks[[task]]()
    seconds <- c(seconds, as.numeric(difftime(Sys.time(), start, units = "secs")) / count)
  }
  if (task == "bootMer") seconds <- seconds / BOOTMER
  c(list(seconds = seconds), result)
}

json <- function(values) {
  numbers <- vapply(values, function(v) paste0("[", paste(sprintf("%.15g", v), collapse = ","), "]"), "")
  paste0("{", paste0('"', names(values), '":', numbers, collapse = ","), "}")
}

input <- file("stdin", "r")
while (length(line <- readLines(input, 1)) > 0) {
  part <- strsplit(line, "\t")[[1]]
  reply <- tryCatch(
    switch(part[1],
      version = sprintf('{"version":"lme4 %s, R %s"}', packageVersion("lme4"), getRversion()),
      load = {
        load(part[2], part[3], strsplit(part[4], ",")[[1]])
        "{}"
      },
      json(timed(part[1], as.numeric(part[2])))
    ),
    error = function(e) sprintf('{"error":"%s"}', gsub('["\n\\]', " ", conditionMessage(e)))
  )
  cat(reply, "\n", sep = "")
  flush(stdout())
}
