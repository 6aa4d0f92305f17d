# 5,000 parametric replicates by lme4's bootMer, summarised: Rscript bootmer.R > bootmer.json
# By maximum likelihood: refit() of REML fits is wrong in lme4 1.1-31.
suppressMessages(library(lme4))
fit <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE)
statistic <- function(fit) {
  v <- VarCorr(fit)$Subject
  c(attr(v, "stddev")[1], attr(v, "correlation")[2, 1], attr(v, "stddev")[2], sigma(fit), fixef(fit))
}
set.seed(1)
boot <- suppressMessages(suppressWarnings(bootMer(fit, statistic, nsim = 5000, type = "parametric")))
good <- boot$t[complete.cases(boot$t), ]
line <- function(name, values) sprintf('  "%s": [%s]', name, paste(sprintf("%.10g", values), collapse = ", "))
cat("{\n", paste(c(
  sprintf('  "software": "lme4 %s, R %s"', packageVersion("lme4"), getRversion()),
  sprintf('  "replicates": %d', nrow(good)),
  '  "parameters": ["sd(Intercept | Subject)", "cor(Intercept, Days | Subject)", "sd(Days | Subject)", "sigma", "Intercept", "Days"]',
  line("estimate", boot$t0), line("mean", colMeans(good)), line("sd", apply(good, 2, sd)),
  line("q025", apply(good, 2, quantile, 0.025)), line("q975", apply(good, 2, quantile, 0.975))
), collapse = ",\n"), "\n}\n", sep = "")
