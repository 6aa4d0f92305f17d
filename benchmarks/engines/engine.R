# R's packages as a worker: Rscript engine.R NAME. Requests and answers are those of ../_worker.py.

name <- commandArgs(trailingOnly = TRUE)[1]
suppressMessages(library(name, character.only = TRUE))
suppressMessages(library(lme4))
alone <- c("lmer", "responses", "sets", "power")
state <- new.env()
first <- 3 # responses or data sets whose criteria are answered

load_data <- function(path, formula, factors) {
  state$path <- path
  state$formula <- as.formula(formula)
  state$data <- read.csv(path)
  for (factor in strsplit(factors, ";")[[1]]) {
    part <- strsplit(factor, "=")[[1]]
    column <- state$data[[part[1]]]
    levels <- if (length(part) > 1) strsplit(part[2], ",")[[1]] else sort(unique(column))
    state$data[[part[1]]] <- factor(column, levels = levels)
  }
  list()
}

# The call of a fit is evaluated again by lmerTest and by glmmTMB's refit, from elsewhere.
engine_fit <- function(data) {
  state$now <- data
  if (name == "glmmTMB") glmmTMB(state$formula, state$now, REML = TRUE) else lme4::lmer(state$formula, state$now)
}

prepare <- function(task) {
  if (task %in% alone || !is.null(state$fit)) return(list())
  state$fit <- engine_fit(state$data)
  state$y <- state$data[[all.vars(state$formula)[1]]]
  state$other <- state$y * (1 + 0.01 * sin(seq_along(state$y)))
  if (name == "lme4") {
    parts <- lFormula(state$formula, state$data)
    state$start <- parts$reTrms$theta
    state$objective <- do.call(mkLmerDevfun, parts)
  }
  list()
}

answer <- function(fit) {
  list(criterion = REMLcrit(fit), beta = unname(fixef(fit)), se = unname(sqrt(diag(as.matrix(vcov(fit))))),
       names = names(fixef(fit)))
}
if (name == "glmmTMB") answer <- function(fit) {
  list(criterion = -2 * as.numeric(logLik(fit)), beta = unname(fixef(fit)$cond),
       se = unname(sqrt(diag(vcov(fit)$cond))), names = names(fixef(fit)$cond))
}
crit <- function(fit) answer(fit)$criterion

# lmerTest computes what Satterthwaite's method needs when the fit becomes its own.
tested <- function(ddf) {
  table <- coef(summary(lmerTest::as_lmerModLmerTest(state$fit), ddf = ddf))
  list(df = unname(table[, "df"]), se = unname(table[, "Std. Error"]), names = rownames(table))
}

read_responses <- function(n) {
  rows <- nrow(state$data)
  values <- readBin(sub("csv$", "bin", state$path), "double", n * rows)
  lapply(seq_len(n), function(i) values[(i - 1) * rows + seq_len(rows)])
}

# A power study as simr runs it: simulate from a model of the size asked for, refit, test.
power <- function(n) {
  rejected <- c()
  for (size in seq(10, 55, 5)) {
    data <- expand.grid(Days = 0:9, Subject = factor(seq_len(size)))
    parameters <- list(beta = c(250, 4), sigma = 25,
      theta = t(chol(matrix(c(625, 15, 15, 36), 2)))[lower.tri(diag(2), TRUE)] / 25)
    p <- vapply(seq_len(n), function(i) {
      data$Reaction <- simulate(~ Days + (Days | Subject), newdata = data, newparams = parameters, seed = i,
                                family = gaussian)[[1]]
      coef(summary(lmerTest::lmer(Reaction ~ Days + (Days | Subject), data)))["Days", "Pr(>|t|)"]
    }, 0)
    rejected <- c(rejected, sum(p < 0.05))
  }
  list(rejected = rejected, each = n)
}

fitting <- list(
  lmer = function() answer(engine_fit(state$data)),
  refit = function() answer(refit(state$fit, state$other)),
  responses = function(n) {
    # A fit of the design, then a refit for each.
    read <- read_responses(n)
    fit <- engine_fit(state$data)
    list(criteria = vapply(read, function(y) crit(refit(fit, y)), 0)[1:first])
  },
  sets = function(n) {
    sets <- split(state$data, state$data$set)[seq_len(n)]
    list(criteria = vapply(sets, function(data) crit(engine_fit(data)), 0)[1:first])
  }
)
tasks <- switch(name,
  lme4 = c(fitting, list(
    # Fits of their own, for truths.json: by REML and by ML, n responses, or one that is made from the first.
    truth = function(n) {
      y <- all.vars(state$formula)[1]
      data <- if (n < 0) list(state$data) else lapply(if (n > 0) read_responses(n) else list(state$other), function(v) {
        state$data[[y]] <- v
        state$data
      })
      if (!is.null(state$data$set)) data <- split(state$data, state$data$set)[seq_len(-n)]
      fits <- lapply(data, function(d) lmer(state$formula, d))
      ml <- lapply(data, function(d) lmer(state$formula, d, REML = FALSE))
      criteria <- list(criteria = vapply(fits, crit, 0), criteria_ml = vapply(ml, function(f) -2 * as.numeric(logLik(f)), 0))
      c(answer(fits[[1]]), list(beta_ml = unname(fixef(ml[[1]]))), criteria)
    },
    optimiser = function() list(criterion = optimizeLmer(state$objective, start = state$start)$fval),
    gradient = function() list(gradient = lme4:::deriv12(state$objective, c(1, 0, 1))$gradient),
    profile = function() {
      limits <- suppressMessages(confint(state$fit, method = "profile", quiet = TRUE))
      list(limits = c(t(limits)))
    },
    bootstrap = function(n) {
      found <- bootMer(state$fit, fixef, nsim = n, seed = 1)
      list(boot_se = unname(apply(found$t, 2, sd)))
    })),
  glmmTMB = c(fitting, list(
    bootstrap = function(n) {
      draws <- simulate(state$fit, n, seed = 1)
      found <- vapply(draws, function(y) fixef(refit(state$fit, y))$cond, fixef(state$fit)$cond)
      list(boot_se = unname(apply(found, 1, sd)))
    })),
  lmerTest = list(satterthwaite = function() tested("Satterthwaite"), power = power),
  pbkrtest = list(`kenward-roger` = function() tested("Kenward-Roger")),
  merTools = list(prediction = function() {
    limits <- predictInterval(state$fit, level = 0.95, n.sims = 1000, seed = 1)
    list(width = mean(limits$upr - limits$lwr))
  })
)

time_task <- function(task, budget, size) {
  work <- if (size > 0) function() tasks[[task]](size) else tasks[[task]]
  seconds <- c()
  while (length(seconds) == 0 || sum(seconds) < budget) {
    start <- Sys.time()
    found <- work()
    seconds <- c(seconds, as.numeric(difftime(Sys.time(), start, units = "secs")))
  }
  c(list(seconds = seconds), found)
}

json <- function(values) {
  if (length(values) == 0) return("{}")
  shown <- vapply(values, function(v) {
    each <- if (is.character(v)) paste0('"', v, '"') else ifelse(is.finite(v), sprintf("%.15g", v), "NaN")
    paste0("[", paste(each, collapse = ","), "]")
  }, "")
  paste0("{", paste0('"', names(values), '":', shown, collapse = ","), "}")
}

input <- file("stdin", "r")
while (length(line <- readLines(input, 1)) > 0) {
  part <- strsplit(line, "\t")[[1]]
  reply <- tryCatch(
    json(switch(part[1],
      about = list(version = paste0(name, " ", packageVersion(name)), tasks = names(tasks)),
      load = load_data(part[2], part[3], if (length(part) > 3) part[4] else ""),
      prepare = prepare(part[2]),
      truth = tasks$truth(as.numeric(part[2])),
      time = time_task(part[2], as.numeric(part[3]), as.numeric(part[4])))),
    error = function(e) sprintf('{"error":"%s"}', gsub('["\n\\]', " ", conditionMessage(e)))
  )
  cat(reply, "\n", sep = "")
  flush(stdout())
}
